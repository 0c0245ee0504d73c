"""What S3 says in XML, read by its names and not by its order, and what is none refused"""

import base64
import hashlib
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from shared.s3 import Stumbled
from shared.s3_xml import StoredObject, deletion, listed, undeleted

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
ENTRY = "<Contents><Key>a%2Fb+c%25</Key><Size>7</Size><LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>"
STORED = StoredObject("a/b c%", 7, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


@pytest.mark.parametrize("names", ["", f" {XMLNS}"])
@pytest.mark.parametrize(
    ("inside", "found", "more"),
    [
        ("", [], False),
        (ENTRY, [STORED], False),
        (f"<IsTruncated>false</IsTruncated>{ENTRY}{ENTRY}", [STORED, STORED], False),
        (f"<CommonPrefixes><Prefix>x</Prefix></CommonPrefixes>{ENTRY}<IsTruncated>true</IsTruncated>", [STORED], True),
    ],
)
def test_a_list_has_its_objects_and_says_whether_there_are_more(
    names: str, inside: str, found: list[StoredObject], more: bool
) -> None:
    assert listed(f"<ListBucketResult{names}>{inside}</ListBucketResult>".encode()) == (found, more)


@pytest.mark.parametrize(
    "answer",
    [
        *("", "no xml", "<html></html>", "<DeleteResult/>", "<ListBucketResult><Contents/></ListBucketResult>"),
        f"<ListBucketResult>{ENTRY.replace('<Size>7</Size>', '<Size>x</Size>')}</ListBucketResult>",
        f"<ListBucketResult>{ENTRY.replace('2026-01', 'soon')}</ListBucketResult>",
    ],
)
def test_what_is_no_list_is_no_empty_one(answer: str) -> None:
    with pytest.raises(Stumbled):
        listed(answer.encode())


def test_a_deletion_names_each_key_as_it_is_with_its_checksum() -> None:
    keys = ["a/b", "<&>", "가 나", ""]
    body, headers = deletion(keys)
    root = ElementTree.fromstring(body)
    assert root.tag == "{http://s3.amazonaws.com/doc/2006-03-01/}Delete"
    assert [one.text or "" for one in root.iterfind("{*}Object/{*}Key")] == keys
    assert root.findtext("{*}Quiet") == "true", "else it names all that it has deleted"
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    assert headers == {"Content-MD5": base64.b64encode(digest).decode(), "Content-Type": "application/xml"}


@pytest.mark.parametrize("names", ["", f" {XMLNS}"])
def test_what_is_still_there_is_told_by_its_reason(names: str) -> None:
    error = "<Error><Key>a</Key><Code>AccessDenied</Code></Error>"
    assert undeleted(f"<DeleteResult{names}/>".encode()) == []
    assert undeleted(f"<DeleteResult{names}><Deleted><Key>b</Key></Deleted>{error}</DeleteResult>".encode()) == [
        "AccessDenied"
    ]
    for answer in (b"", b"<Error><Code>AccessDenied</Code></Error>", b"<ListBucketResult/>"):
        with pytest.raises(Stumbled):
            undeleted(answer)
