"""Which pages may talk to the daemon, and under which names, as tables."""

import pytest

from streamd.transport.http.origin import Origins

EXTRA = (
    "https://wall.example:8443",
    "https://Desk.example/",
    "https://home.example:443",
    "tauri://localhost",
    "capacitor://localhost",
    "chrome-extension://abcdefghijklmnop",
)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "127.0.0.1:8765", True),
        ("http://127.0.0.1:8765", "127.0.0.1:8765", True),
        ("http://LOCALHOST:8765", "localhost:8765", True),
        ("https://voice.example", "voice.example", True),  # behind a proxy that ends TLS
        ("https://voice.example:443", "voice.example", True),
        ("http://voice.example:8765", "voice.example:8765", True),  # with a key; see below
        ("http://voice.example", "voice.example:80", True),
        ("https://voice.example", "voice.example:80", False),
        ("http://[::1]:8765", "[::1]:8765", True),
        ("http://localhost:8765", "127.0.0.1:8765", False),
        ("http://127.0.0.1", "127.0.0.1:8765", False),
        ("http://127.0.0.1:8765.evil.example", "127.0.0.1:8765", False),
        ("http://127.0.0.1:8765@evil.example", "127.0.0.1:8765", False),
        ("ftp://127.0.0.1:8765", "127.0.0.1:8765", False),
        ("null", "127.0.0.1:8765", False),
        ("", "", False),
        ("http://[::1", "[::1", False),
        ("http://::1]:8765", "::1]:8765", False),
        ("https://wall.example:8443", "127.0.0.1:8765", True),
        ("https://desk.example", "127.0.0.1:8765", True),
        ("https://wall.example", "127.0.0.1:8765", False),
        ("https://home.example", "127.0.0.1:8765", True),
        ("http://home.example", "127.0.0.1:8765", False),
        ("tauri://localhost", "127.0.0.1:8765", True),
        ("tauri://elsewhere", "127.0.0.1:8765", False),
        ("capacitor://localhost", "127.0.0.1:8765", True),
        ("ionic://localhost", "127.0.0.1:8765", False),
        ("chrome-extension://abcdefghijklmnop", "127.0.0.1:8765", True),
        ("chrome-extension://ponmlkjihgfedcba", "127.0.0.1:8765", False),
    ],
)
def test_own_configured_or_none(origin, host, allowed):
    assert Origins(EXTRA).allows(origin, host) is allowed


@pytest.mark.parametrize(("origin", "is_allowed"), [("https", True), ("http", False)])
def test_a_server_with_tls_has_no_page_over_http(origin, is_allowed):
    assert Origins(()).allows(f"{origin}://box", "box", is_tls=True) is is_allowed
    assert Origins(("http://box",)).allows("http://box", "box", is_tls=True), "the operator says so"


def test_nobody_rebinds_a_name_to_a_server_with_a_certificate():
    assert Origins(()).may_be_rebound(None, "voice.example")
    assert not Origins(()).may_be_rebound(None, "voice.example", is_tls=True)


def test_no_origin_in_particular_is_allowed_by_name_alone():
    assert not Origins(("tauri://localhost",)).allows("null", "127.0.0.1:8765")
    assert Origins(("null",)).allows("null", "127.0.0.1:8765")


@pytest.mark.parametrize(
    ("origin", "host", "rebound"),
    [
        ("http://127.0.0.1:8765", "127.0.0.1:8765", False),
        ("http://LOCALHOST:8765", "localhost:8765", False),
        ("http://[::1]:8765", "[::1]:8765", False),
        ("http://voice.example:8765", "voice.example:8765", True),
        ("http://127.0.0.1.nip.example:8765", "127.0.0.1.nip.example:8765", True),
        ("http://box:8765", "box:8765", True),
        ("https://voice.example", "voice.example", False),  # it has a certificate for its name
        ("https://desk.example", "voice.example", False),  # the operator lists this page
        ("http://desk.example", "desk.example", False),  # nobody else can make it resolve to us
        (None, "desk.example:8765", False),
        (None, "voice.example:8765", True),
        (None, "voice.example.", True),
        (None, "streamd:8765", False),  # a container
        (None, "127.0.0.1:8765", False),
        (None, "localhost", False),
        (None, "[::1", False),
        (None, "", False),
    ],
)
def test_a_name_that_somebody_else_may_have_rebound(origin, host, rebound):
    assert Origins(EXTRA).may_be_rebound(origin, host) is rebound
