"""Whose address the log names: the client's, as far as trusted proxies vouch for it."""

import pytest

from streamd.transport.http.peers import Peers

TRUSTED = ("127.0.0.1", "10.0.0.0/8", "10.1.2.3/16", "fd00::/8")


@pytest.mark.parametrize(
    ("peer", "passed_on", "client"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # anybody can write this header
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),  # the first is a claim
        ("127.0.0.1", "203.0.113.9, 198.51.100.7, 10.9.9.9", "198.51.100.7"),
        ("10.1.1.1", "10.2.2.2,10.3.3.3", "10.2.2.2"),
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
        ("127.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("127.0.0.1", "198.51.100.7:1234", "198.51.100.7"),
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.7, <script>", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.7, unknown, 10.1.1.1", "10.1.1.1"),
        (None, "198.51.100.7", None),
    ],
)
def test_the_list_is_read_from_its_end_as_far_as_it_is_trusted(peer, passed_on, client):
    assert Peers(TRUSTED).client(peer, passed_on.split(",")) == client


def test_by_default_nobody_is_trusted():
    assert Peers(()).client("127.0.0.1", ["198.51.100.7"]) == "127.0.0.1"
