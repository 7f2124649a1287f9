"""Addresses as headers and sockets spell them, and the networks that hold them."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.transport.http.addresses import Networks, address

LISTED = Networks(("192.0.2.1", "10.0.0.0/8", "10.1.2.3/16", "fd00::/8"))


@pytest.mark.parametrize(
    ("text", "is_listed"),
    [
        ("192.0.2.1", True),
        (" 192.0.2.1 ", True),
        ("192.0.2.1:443", True),
        ("[::ffff:192.0.2.1]:443", True),
        ("::ffff:10.9.9.9", True),
        ("::ffff:192.0.2.2", False),
        ("192.0.2.2", False),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("fd12::1", True),
        ("fd12::1%eth0", True),
        ("fe80::1%eth0", False),
        ("::1", False),
        ("", False),
        (None, False),
        ("unknown", False),
        ("192.0.2.1, 10.0.0.1", False),
        ("0300.0000.0002.0001", False),  # octal to some, an address to none here
    ],
)
def test_who_is_listed(text, is_listed):
    assert (address(text) in LISTED) is is_listed


def test_nobody_is_in_an_empty_list_and_it_says_that_it_is_empty():
    assert not Networks(())
    assert address("127.0.0.1") not in Networks(())


@given(st.ip_addresses(), st.integers(0, 65535))
def test_a_port_never_changes_the_address(found, port):
    host = f"[{found}]" if found.version == 6 else str(found)
    assert address(f"{host}:{port}") == address(str(found))


@given(st.ip_addresses(v=4))
def test_an_address_mapped_into_ipv6_is_in_the_networks_of_the_address(found):
    everything = Networks(("0.0.0.0/0",))
    assert address(f"::ffff:{found}") == found
    assert address(f"::ffff:{found}") in everything


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_none(text):
    assert isinstance(address(text), ipaddress.IPv4Address | ipaddress.IPv6Address | None)
