"""What S3 says in XML: lists of objects, and which of many could not be deleted."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from msgspec import Struct

from shared.s3 import Stumbled


class StoredObject(Struct, frozen=True):
    """A listed object: its key, its size in bytes, and when it was stored."""

    key: str
    size: int
    modified_at: datetime


def listed(answer: bytes) -> tuple[list[StoredObject], bool]:
    """The objects of a list (ListObjectsV2 with `encoding-type=url`), and whether there are more behind them.

    Raises:
        Stumbled: it is no such list.
    """
    root = _parsed(answer, "ListBucketResult")
    try:
        return [_stored(one) for one in root.iterfind("{*}Contents")], _text(root, "IsTruncated") == "true"
    except ValueError as error:
        raise Stumbled(f"the store's list can't be read: {error}") from None


def _stored(entry: ElementTree.Element) -> StoredObject:
    modified_at = datetime.fromisoformat(_text(entry, "LastModified"))
    return StoredObject(unquote_plus(_text(entry, "Key")), int(_text(entry, "Size")), modified_at)


def deletion(keys: Sequence[str]) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a request (DeleteObjects) that deletes these keys, 1,000 at most."""
    root = ElementTree.Element("Delete", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
    ElementTree.SubElement(root, "Quiet").text = "true"
    for key in keys:
        ElementTree.SubElement(ElementTree.SubElement(root, "Object"), "Key").text = key
    body: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    # S3 takes no deletion of many without a checksum of it.
    checksum = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    return body, {"Content-MD5": checksum, "Content-Type": "application/xml"}


def undeleted(answer: bytes) -> list[str]:
    """S3's codes for those keys of a deletion that are still there; a key that was not there is not among them.

    Raises:
        Stumbled: it is no answer to a deletion.
    """
    return [_text(one, "Code") for one in _parsed(answer, "DeleteResult").iterfind("{*}Error")]


def _parsed(answer: bytes, name: str) -> ElementTree.Element:
    try:
        root = ElementTree.fromstring(answer)  # noqa: S314 - by a server that our own key opens
    except ElementTree.ParseError as error:
        raise Stumbled(f"the store answers what is no XML: {error}") from None
    if root.tag.rpartition("}")[2] != name:
        raise Stumbled(f"the store answers <{root.tag}> where <{name}> was asked for")
    return root


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""
