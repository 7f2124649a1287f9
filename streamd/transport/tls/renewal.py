"""The certificate in force, read again when its files change, without a dropped stream."""

from __future__ import annotations

import asyncio
import math
import os
import ssl
from datetime import UTC, datetime

import structlog

from streamd.errors import ConfigError
from streamd.observability.metrics import Metrics
from streamd.transport.tls.certificate import Certificate, load

log = structlog.get_logger("streamd.tls")

LOOK_S = 2.0
"""Seconds between two looks at the files."""
REMIND_DAYS = 1.0
"""Days between two warnings that the certificate expires."""

Files = tuple[tuple[int, int, int], ...]
"""Inode, time of change and size of each file, by which a change is seen."""


class Certificates:
    """The certificate in force. Connections that are open keep the one with which they began.

    Two files cannot be replaced in one step. So what does not fit together, cannot be read, or is
    refused by clients that take the certificate in force, is looked at again until it can be used,
    and meanwhile the certificate before it stays.

    Args:
        cert: `server.tls_cert`.
        key: `server.tls_key`; empty if the key is in the certificate's file.
        metrics: Show the days left, and count the changes.

    Raises:
        ConfigError: The certificate cannot be used.
    """

    def __init__(self, cert: str, key: str, metrics: Metrics) -> None:
        self._cert = cert
        self._key = key
        self._metrics = metrics
        self._asked = asyncio.Event()
        self._reminded = math.inf
        """Days that were left at the last warning."""
        self._unusable: Files | None = ()
        """Files that could not be used at the last look."""
        self._is_reported = False
        """Whether the log has that they cannot be used."""
        self._files = self._look()
        self._context, self._certificate = load(cert, key)
        metrics.certificate_expiry.set_function(self._expiry_s)
        self._report("certificate loaded")

    @property
    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection."""
        return self._context

    def reload(self) -> None:
        """Read the files at once, whether they seem changed or not."""
        self._asked.set()

    async def watch(self) -> None:
        """Read the files again when they change, and warn before the certificate expires."""
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._asked.wait()
            except TimeoutError:
                pass
            is_asked = self._asked.is_set()
            self._asked.clear()
            files = await asyncio.to_thread(self._look)
            if is_asked or files != self._files:
                await self._take(files, is_asked=is_asked)
            self._remind()

    async def _take(self, files: Files | None, *, is_asked: bool) -> None:
        try:
            context, certificate = await asyncio.to_thread(load, self._cert, self._key)
            self._check_no_worse(certificate)
        except ConfigError as error:
            is_new = files != self._unusable
            self._is_reported = self._is_reported and not is_new
            self._unusable = files
            # One file is written after the other: the first look may have come in between.
            if is_asked or not (is_new or self._is_reported):
                self._is_reported = True
                self._metrics.certificate_reloads.labels("refused").inc()
                log.error("the new certificate cannot be used; the old one stays", why=str(error))
            return
        if await asyncio.to_thread(self._look) != files:
            return  # a file was replaced meanwhile: the next look takes both
        self._files, self._unusable, self._is_reported = files, (), False
        self._context, self._certificate = context, certificate
        self._metrics.certificate_reloads.labels("taken").inc()
        self._reminded = math.inf
        self._report("certificate reloaded")

    def _check_no_worse(self, new: Certificate) -> None:
        """Check that clients that take the certificate in force take the new one too.

        Raises:
            ConfigError: They refuse it, as one that has expired.
        """
        now = datetime.now(UTC)
        for fault in new.faults(now):
            if not any(self._certificate.faults(now)):
                raise ConfigError(f"server.tls_cert: {self._cert}: {fault}")

    def _look(self) -> Files | None:
        """Return what tells one version of the files from the next; None if one is missing."""
        try:
            found = [os.stat(path) for path in (self._cert, self._key) if path]
        except OSError:
            return None
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)

    def _expiry_s(self) -> float:
        return self._certificate.expires.timestamp()

    def _report(self, message: str) -> None:
        certificate, now = self._certificate, datetime.now(UTC)
        log.info(
            message,
            names=certificate.names,
            expires=f"{certificate.expires:%Y-%m-%d}",
            days_left=int(certificate.days_left(now)),
        )
        for fault in certificate.faults(now):
            log.error("clients will refuse the certificate", file=self._cert, why=fault)
        self._remind()

    def _remind(self) -> None:
        now = datetime.now(UTC)
        left = self._certificate.days_left(now)
        if self._certificate.is_about_to_expire(now) and left < self._reminded - REMIND_DAYS:
            self._reminded = left
            log.warning(
                "the certificate expires soon" if left > 0 else "the certificate has expired",
                days_left=int(left),
                file=self._cert,
                advice="renew it; streamd reads the new file by itself",
            )


def open_certificates(cert: str, key: str, metrics: Metrics) -> Certificates | None:
    """Return the certificate of the configuration; None without `server.tls_cert`.

    Raises:
        ConfigError: The certificate cannot be used.
    """
    return Certificates(cert, key, metrics) if cert else None
