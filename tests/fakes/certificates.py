"""Certificates as files, and the contexts of the two sides."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamd.transport.tls.certificate import load
from streamd.transport.tls.home_made import make, write

NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Files:
    """Paths, as text."""

    cert: str
    key: str
    authority: str

    @property
    def server(self) -> ssl.SSLContext:
        """The context of a server."""
        return load(self.cert, self.key)[0]

    @property
    def client(self) -> ssl.SSLContext:
        """The context of a client that trusts it."""
        return ssl.create_default_context(cafile=self.authority)


def certificate(home: Path, *, age_days: float = 0, names: tuple[str, ...] = NAMES) -> Files:
    """Make the files of a certificate, or replace them; it may be older, or of the future."""
    made = make(names, datetime.now(UTC) - timedelta(days=age_days))
    return Files(*map(str, write(made, home, replace=True)))
