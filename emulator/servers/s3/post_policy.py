"""A browser's upload form: its policy, and every condition and field against each other."""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from emulator.servers.s3.errors import S3Error, denied
from emulator.servers.s3.signature import ALGORITHM, Keys, Moment, compare, hmac_of, scope_of


def verify_post(fields: Mapping[str, str], bucket: str, size: int, keys: Keys, moment: Moment) -> None:
    """Check a browser's upload form: its signature, its policy's end, and every condition and field against each other.

    Args:
        fields: the form's fields before the file, names in lower case.
        bucket: the bucket of the address posted to.
        size: the file's size in bytes.
    """
    if "policy" not in fields:
        raise denied()
    for name in ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"):
        if name not in fields:
            raise S3Error(
                400,
                "InvalidArgument",
                f"Bucket POST must contain a field named '{name}'.",
                ArgumentName=name,
                ArgumentValue="",
            )
    if fields["x-amz-algorithm"] != ALGORITHM:
        raise S3Error(400, "InvalidArgument", f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    malformed = S3Error(400, "InvalidArgument", "Error parsing the X-Amz-Credential parameter.")
    scope = scope_of(fields["x-amz-credential"], keys, fields["x-amz-date"], malformed)
    compare(hmac_of(scope.key, fields["policy"]).hex(), fields["x-amz-signature"])

    expires, conditions = _policy(fields["policy"])
    if expires < moment.system:
        raise denied("Invalid according to Policy: Policy expired.")
    known = {**fields, "bucket": bucket}
    covered = {"policy", "x-amz-signature", "file"}
    for operator, name, value in conditions:
        if operator == "content-length-range":
            _check_size(size, name, value)
            continue
        covered.add(name)
        actual = known.get(name, "")
        if not (actual == value if operator == "eq" else actual.startswith(value)):
            shown = json.dumps([operator, f"${name}", value])
            raise denied(f"Invalid according to Policy: Policy Condition failed: {shown}")
    extra = [name for name in known if name not in covered and not name.startswith("x-ignore-")]
    if extra:
        raise denied(f"Invalid according to Policy: Extra input fields: {', '.join(sorted(extra))}")


def _policy(encoded: str) -> tuple[datetime, list[tuple[str, str, Any]]]:
    """The policy's end, and its conditions as (operator, field or lower bound, value or upper bound)."""
    try:
        policy = json.loads(base64.b64decode(encoded, validate=True))
        expires = datetime.fromisoformat(policy["expiration"])
        conditions = [_condition(condition) for condition in policy["conditions"]]
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise S3Error(400, "InvalidPolicyDocument", "Invalid Policy: Invalid JSON.") from None
    if expires.tzinfo is None:
        raise S3Error(400, "InvalidPolicyDocument", "Invalid Policy: Invalid 'expiration' value.")
    return expires, conditions


def _condition(condition: Any) -> tuple[str, Any, Any]:
    if isinstance(condition, dict):
        ((name, value),) = condition.items()
        return "eq", name.lower(), str(value)
    operator, name, value = condition
    operator = operator.lower()
    if operator == "content-length-range":
        return operator, int(name), int(value)
    if operator not in ("eq", "starts-with") or not name.startswith("$"):
        raise ValueError(operator)
    return operator, name[1:].lower(), str(value)


def _check_size(size: int, smallest: Any, largest: Any) -> None:
    if size < smallest:
        message = "Your proposed upload is smaller than the minimum allowed size"
        raise S3Error(400, "EntityTooSmall", message, ProposedSize=str(size), MinSizeAllowed=str(smallest))
    if size > largest:
        message = "Your proposed upload exceeds the maximum allowed size"
        raise S3Error(400, "EntityTooLarge", message, ProposedSize=str(size), MaxSizeAllowed=str(largest))
