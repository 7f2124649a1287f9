"""The API key of a client: how it is shown to a server, and to which servers."""

from __future__ import annotations

from urllib.parse import urlsplit

from streamd.errors import WrongUsage


def check_key(key: str | None) -> str | None:
    """Return a key without the space around it, as of a file's last line; None for an empty one.

    Raises:
        WrongUsage: No header can carry it. The message does not quote it.
    """
    key = (key or "").strip()
    if not all("!" <= char <= "~" for char in key):
        raise WrongUsage(
            "the API key has characters that no key has, as spaces or quotes; copy it again"
        )
    return key or None


def authorization(key: str | None) -> dict[str, str]:
    """Return the headers that show a key."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def is_same_host(url: str, next_url: str) -> bool:
    """Return whether two URLs are of one host, so that a key for the one may go to the other."""
    return urlsplit(url).hostname == urlsplit(next_url).hostname


def keeps_tls(url: str, next_url: str) -> bool:
    """Return whether the next connection is encrypted if this one is."""
    schemes = urlsplit(url).scheme, urlsplit(next_url).scheme
    return schemes[1] == "wss" or schemes == ("ws", "ws")


def is_readable_on_the_way(url: str) -> bool:
    """Return whether others on the network can read what is sent to a URL."""
    parts = urlsplit(url)
    return parts.scheme != "wss" and parts.hostname not in ("localhost", "127.0.0.1", "::1")
