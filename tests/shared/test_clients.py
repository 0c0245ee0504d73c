"""Whose request it is, behind none, one or several proxies that can be believed, and whatever a client writes itself"""

from types import SimpleNamespace

import pytest

from shared.clients import address_of

PEER = "198.51.100.1"


@pytest.mark.parametrize(
    ("forwarded", "hops", "address"),
    [
        # Without a proxy that is believed the header is the client's own word.
        (["203.0.113.9"], 0, PEER),
        ([], 1, PEER),
        ([""], 1, PEER),
        (["203.0.113.9"], 1, "203.0.113.9"),
        (["10.9.9.9, 203.0.113.9"], 1, "203.0.113.9"),
        (["10.9.9.9", "203.0.113.9"], 1, "203.0.113.9"),
        (["10.9.9.9, 203.0.113.9 , 10.0.0.1"], 2, "203.0.113.9"),
        (["203.0.113.9, 10.0.0.1"], 2, "203.0.113.9"),
        (["203.0.113.9"], 2, PEER),  # fewer than there are proxies: it did not come through them
        (["10.9.9.9,"], 1, PEER),
        (["nobody"], 1, PEER),
        # Of IPv6 a client has a whole network, and IPv4 in its clothes is IPv4.
        (["2001:db8:1:2:3:4:5:6"], 1, "2001:db8:1:2::/64"),
        (["2001:db8:1:2::9%eth0"], 1, "2001:db8:1:2::/64"),
        (["::ffff:203.0.113.9"], 1, "203.0.113.9"),
    ],
)
def test_the_address_is_that_which_the_nearest_believed_proxy_saw(
    forwarded: list[str], hops: int, address: str
) -> None:
    assert address_of(forwarded, SimpleNamespace(host=PEER), hops) == address


def test_without_a_connection_there_is_none() -> None:
    assert address_of([], None, 0) == ""
    assert address_of(["nobody"], None, 1) == ""
    assert address_of(["203.0.113.9"], None, 1) == "203.0.113.9"
    assert address_of([], SimpleNamespace(host="2001:db8::1"), 0) == "2001:db8::/64"
