"""What our services ask of objects, answered from moto's backend without the way there: half of what such a request costs.

moto reads each request as one of a hundred operations, by AWS' description of S3. GET, HEAD, PUT and DELETE of an object with
nothing said beside it, HEAD of a bucket, a list and the deletion of many are seven of them; whatever says more goes to moto,
whose part for that is imported only then. `tests/emulator/servers/test_plain.py` compares.
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

Answer = tuple[int, dict[str, Any], bytes]

# Headers that say nothing to S3 but in a PUT (what is kept of an object), or are checked by now.
_SAY_NOTHING = {"host", "user-agent", "accept", "accept-encoding", "accept-language", "connection", "content-length"}
_SAY_NOTHING |= {"authorization", "x-amz-date", "x-amz-content-sha256", "content-md5", "date", "traceparent"}
# A store by another name may be a bucket's own, and not all that a key may hold comes to moto as it was sent.
_HOSTS = {"127.0.0.1", "localhost"}
_KEY = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_KEPT = {"content-type": "Content-Type", "cache-control": "Cache-Control"}
# The query of a deletion of many, as clients write it.
_MANY = {"delete", "delete="}
# A list as `shared/objects.py` asks for it; whatever is asked beside is moto's.
_LIST = re.compile(
    r"list-type=2&encoding-type=url&max-keys=([1-9]\d*)&prefix=([\w.%-]+)(?:&start-after=([\w.%-]+))?", re.ASCII
)


class Plain:
    """The seven requests. `metadata` is moto's own reading of headers that are kept with an object."""

    def __init__(self, backend: Any) -> None:
        from moto.s3.utils import metadata_from_headers

        self._backend = backend
        self._metadata = metadata_from_headers

    def answer(
        self, method: str, bucket: str, key: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Answer | None:
        """Status, headers and body; None where it is moto's to answer."""
        found = self._backend.buckets.get(bucket)
        if found is None or _unusual(found) or not _plain(method, headers):
            return None
        if method == "POST" and not key and query in _MANY:
            return self._delete_many(bucket, body)
        if method == "GET" and not key and (asked := _LIST.fullmatch(query)):
            return self._list(found, int(asked[1]), unquote(asked[2]), unquote(asked[3] or ""))
        if method == "HEAD" and not key and not query:
            return 200, _with_id({"x-amz-bucket-region": found.region_name, "Content-Type": "application/xml"}), b""
        if query or not _KEY.fullmatch(key):
            return None
        if method == "PUT":
            return self._put(found, key, headers, body)
        if method == "DELETE":
            self._backend.delete_object(bucket, key)
            return 204, _with_id({}), b""
        stored = found.keys.get(key)
        if stored is None or method not in ("GET", "HEAD"):
            return None
        said = dict(stored.response_dict)
        said.update(stored.metadata)
        said["Accept-Ranges"] = "bytes"
        return 200, _with_id(said), stored.value if method == "GET" else b""

    def _put(self, bucket: Any, key: str, headers: Mapping[str, str], body: bytes) -> Answer:
        stored = self._backend.put_object(bucket.name, key, body, storage="STANDARD")
        stored.set_metadata(self._metadata({_KEPT[name]: headers[name] for name in _KEPT if name in headers}))
        stored.set_acl(bucket.acl)
        self._backend.put_object_tagging(stored, {})
        said = _with_id(stored.response_dict)
        del said["content-length"]
        return 200, said, b""

    def _list(self, bucket: Any, most: int, below: str, after: str) -> Answer | None:
        """A page of a list, where no key has to be written otherwise than it is. Moto takes a second of a processor for a full
        one, and everybody else waits."""
        found, more, token = self._backend.list_objects_v2(bucket, below, None, None, after or None, most)
        named = [one.name for one in found] + [name for name in (below.rstrip("/"), after) if name]
        if not all(map(_KEY.fullmatch, named)) or any(one.checksum_algorithm for one in found):
            return None
        contents = "".join(
            f"<Contents><Key>{one.name}</Key><LastModified>{one.last_modified_ISO8601}</LastModified><ETag>{one.etag}</ETag>"
            f"<Size>{one.size}</Size><StorageClass>{one.storage_class}</StorageClass></Contents>"
            for one in found
        )
        return _said(
            "ListBucketResult",
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{contents}<Name>{bucket.name}</Name>"
            f"<Prefix>{below}</Prefix><MaxKeys>{most}</MaxKeys><EncodingType>url</EncodingType><KeyCount>{len(found)}</KeyCount>"
            + (f"<NextContinuationToken>{token}</NextContinuationToken>" if more else "")
            + (f"<StartAfter>{after}</StartAfter>" if after else ""),
        )

    def _delete_many(self, bucket: str, body: bytes) -> Answer | None:
        keys = _named_alone(body)
        if not keys:
            return None
        for key in keys:
            self._backend.delete_object(bucket, key)
        return _said("DeleteResult", "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys))


def _named_alone(body: bytes) -> list[str]:
    """The keys of a deletion that names keys and nothing else of each; none where it says more."""
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - signed by our own key
    except ElementTree.ParseError:
        return []
    objects = [one for one in root if one.tag != f"{{{_NAMESPACE}}}Quiet"]
    keys = [one[0].text or "" for one in objects if [part.tag for part in one] == [f"{{{_NAMESPACE}}}Key"]]
    named = len(keys) == len(objects) and all(map(_KEY.fullmatch, keys))
    return keys if named and root.tag == f"{{{_NAMESPACE}}}Delete" else []


def _said(name: str, inner: str) -> Answer:
    said = f'<?xml version="1.0" encoding="utf-8"?>\n<{name} xmlns="{_NAMESPACE}">{inner}</{name}>'
    return 200, _with_id({"Content-Type": "application/xml"}), said.encode()


def _with_id(said: dict[str, Any]) -> dict[str, Any]:
    said["x-amzn-requestid"] = uuid.uuid4().hex
    return said


def _unusual(bucket: Any) -> bool:
    """Whether something is set of the bucket that an answer may depend on."""
    return bool(
        bucket.is_versioned
        or bucket.policy
        or bucket.encryption
        or bucket.object_lock_enabled
        or bucket.logging
        or bucket.notification_configuration
    )


def _plain(method: str, headers: Mapping[str, str]) -> bool:
    kept = {"PUT": set(_KEPT), "POST": {"content-type"}}.get(method, set())
    streaming = headers.get("x-amz-content-sha256", "").startswith("STREAMING")
    here = headers.get("host", "").partition(":")[0] in _HOSTS
    return here and not streaming and all(name in _SAY_NOTHING or name in kept for name in headers)
