"""TLS of one connection as bytes in, bytes out: no socket, no loop."""

from __future__ import annotations

import ssl
from contextlib import suppress

SLICE_BYTES = 32_768
"""Most ciphertext that is given to OpenSSL at once: its buffer keeps the size that it once had."""


class Records:
    """The server's side of one TLS connection.

    Args:
        context: Has the certificate.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.is_ended = False
        """Whether the peer has said that it sends no more."""
        self.fault: ssl.SSLError | None = None
        """Why nothing more can be decrypted; `to_send` has the alert."""

    def to_send(self) -> bytes:
        """Return the ciphertext that is to be sent now: the handshake, alerts, encrypted data."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def shake(self, ciphertext: bytes) -> bool:
        """Go on with the handshake, and return whether it is done.

        Raises:
            ssl.SSLError: It failed; `to_send` has the alert.
        """
        self._incoming.write(ciphertext)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Return all data of the records that are complete; the rest of a record is kept.

        Behind an end or a fault there is none; `is_ended` and `fault` tell of them.
        """
        if len(ciphertext) > SLICE_BYTES:
            parts = []
            for start in range(0, len(ciphertext), SLICE_BYTES):
                parts += self._decrypt(ciphertext[start : start + SLICE_BYTES])
        else:
            parts = self._decrypt(ciphertext)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def encrypt(self, data: bytes | bytearray | memoryview) -> bytes:
        """Return data as ciphertext, with what else is to be sent before it."""
        view = memoryview(data).cast("B")
        while view:
            view = view[self.tls.write(view) :]
        return self._outgoing.read()

    def close(self) -> bytes:
        """Return the ciphertext that says that nothing more is sent."""
        with suppress(ssl.SSLError):  # the peer has not closed yet, or the connection has failed
            self.tls.unwrap()
        return self.to_send()

    def _decrypt(self, ciphertext: bytes) -> list[bytes]:
        if self.is_ended or self.fault is not None:
            return []
        incoming, tls = self._incoming, self.tls
        incoming.write(ciphertext)
        parts: list[bytes] = []
        try:
            # To read until nothing is left would raise each time, which costs more than to decrypt.
            while (most := incoming.pending + tls.pending()) and not self.is_ended:
                if data := tls.read(most):
                    parts.append(data)
                else:
                    self.is_ended = True
        except ssl.SSLWantReadError:  # part of a record, or one without data
            pass
        except ssl.SSLError as fault:
            self.fault = fault
        return parts
