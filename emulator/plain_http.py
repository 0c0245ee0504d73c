"""How the emulator's own programs ask each other: by plain HTTP on this machine, whatever its proxies and authorities are."""

from typing import Any

PLAIN: dict[str, Any] = {"trust_env": False, "verify": False}
"""For an httpx client, beside its timeout. There is nothing to verify, and to read all authorities takes 40 ms."""
