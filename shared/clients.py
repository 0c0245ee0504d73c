"""Where a request came from."""

import ipaddress
from collections.abc import Sequence
from typing import Any


def address_of(forwarded: Sequence[str], client: Any, hops: int) -> str:
    """The client's address; of IPv6 the /64, which is what one client gets.

    Behind `hops` proxies that append to X-Forwarded-For (1: the ALB or the gateway) it is that many entries from the right:
    what is further left was written by the client, and may say anything.

    Args:
        forwarded: the values of X-Forwarded-For.
        client: the connection's other end, with its `host`; None where there is none.
        hops: TRUSTED_HOPS of the settings.
    """
    entries = [part.strip() for part in ",".join(forwarded).split(",")]
    peer: str = client.host if client else ""
    text = entries[-hops] if 0 < hops <= len(entries) and entries[-hops] else peer
    try:
        address = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
    return str(address)
