"""Which pages may talk to the daemon, as a table."""

import pytest

from streamd.transport.http.origin import is_allowed

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
        ("http://voice.example:8765", "voice.example:8765", False),  # a name that was rebound
        ("http://127.0.0.1.nip.example:8765", "127.0.0.1.nip.example:8765", False),
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
    assert is_allowed(origin, host, EXTRA) is allowed


def test_no_origin_in_particular_is_allowed_by_name_alone():
    assert not is_allowed("null", "127.0.0.1:8765", ("tauri://localhost",))
    assert is_allowed("null", "127.0.0.1:8765", ("null",))
