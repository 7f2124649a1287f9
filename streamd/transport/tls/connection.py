"""A TLS connection over a transport of the event loop: a protocol below, a transport above.

uvloop's own TLS, and asyncio's, wake a state machine, a protocol and a task for each message. Here
the bytes of a tick are read past the loop as those of a plain socket are, and all records of a read
are decrypted together. So streams over TLS take the fast path, too.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, cast

import structlog

from streamd.transport.direct import PlainDirect
from streamd.transport.tls.handshakes import Handshakes
from streamd.transport.tls.records import Records

log = structlog.get_logger("streamd.tls")

_NOBODY = asyncio.Protocol()
"""The protocol above a connection that is lost."""
_HANDSHAKE = 0x16
"""First byte of a TLS connection."""


class TlsTransport(asyncio.Transport):
    """The transport that the protocol above gets: what it writes is encrypted at once.

    Buffers, limits and pauses are those of the transport below. All data of a read is handed over
    together, so that none waits here while reading is paused.

    Args:
        connection: Hands over what comes.
        records: Encrypt and decrypt.
        below: Carries the ciphertext.
        direct: The socket of the transport below.
        context: For whoever asks whether there is TLS.
    """

    def __init__(
        self,
        connection: TlsConnection,
        records: Records,
        below: asyncio.Transport,
        direct: PlainDirect,
        context: ssl.SSLContext,
    ) -> None:
        super().__init__({"sslcontext": context, "ssl_object": records.tls})
        self._connection = connection
        self._records = records
        self._below = below
        self._direct = direct
        self.descriptor = direct.descriptor
        self._early: list[bytes] = []
        """What was written before the end of the handshake."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection: its TLS here, its addresses from below."""
        found = super().get_extra_info(name)
        return self._below.get_extra_info(name, default) if found is None else found

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol above."""
        return self._connection.above

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand over what comes to another protocol."""
        self._connection.above = cast(asyncio.Protocol, protocol)

    def is_closing(self) -> bool:
        """Return whether it closes or is closed."""
        return self._below.is_closing()

    def is_reading(self) -> bool:
        """Return whether the loop reads."""
        return self._below.is_reading()

    def pause_reading(self) -> None:
        """Read no more, so that TCP slows the peer."""
        self._below.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._below.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the bytes of ciphertext that wait before the protocol above is told to pause."""
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return these bounds, low and high."""
        return self._below.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        """Return the bytes that wait."""
        return self._below.get_write_buffer_size() + sum(map(len, self._early))

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Encrypt, and write."""
        if self._below.is_closing():
            return
        if self._connection.is_shaken:
            self._below.write(self._records.encrypt(data))
        else:
            self._early.append(bytes(data))

    def write_early(self) -> None:
        """Write what waited for the end of the handshake."""
        for data in self._early:
            self.write(data)
        self._early.clear()

    def can_write_eof(self) -> bool:
        """Return False, because TLS closes both directions together."""
        return False

    def close(self) -> None:
        """Write what waits, tell the peer that nothing more comes, and close."""
        if self._below.is_closing():
            return
        if self._connection.is_shaken:
            self._connection.send_last(self._records.close())
        self._below.close()

    def abort(self) -> None:
        """Close at once, with what is unsent."""
        self._below.abort()

    def read_now(self, most_bytes: int) -> bytes | None:
        """Read once past the loop; see `Direct`."""
        if self._below.is_closing():
            return None
        ciphertext = self._direct.read_now(most_bytes)
        return (self._connection.decrypt(ciphertext) or None) if ciphertext else ciphertext

    def write_now(self, data: bytes) -> None:
        """Encrypt, and write past the loop; see `Direct`."""
        self._direct.write_now(self._records.encrypt(data))

    @property
    def _sendfile_compatible(self) -> None:
        """Have `loop.sendfile` of asyncio raise what uvloop's does: aiohttp then writes itself."""
        raise NotImplementedError


class TlsConnection(asyncio.Protocol):
    """The protocol of the transport that carries the ciphertext.

    The protocol above has its transport from the start, not from the end of the handshake, so that
    it bounds the time of both.

    Args:
        above: Gets the data.
        context: Has the certificate.
        handshakes: Say when the next step of the handshake has its turn.
        refusal: The answer to a client that speaks HTTP without TLS.
    """

    def __init__(
        self,
        above: asyncio.Protocol,
        context: ssl.SSLContext,
        handshakes: Handshakes,
        refusal: bytes,
    ) -> None:
        self.above = above
        self.is_shaken = False
        """Whether the handshake is over."""
        self._context = context
        self._handshakes = handshakes
        self._refusal = refusal
        self._records = Records(context)
        self._received = b""
        """What came for the next step of the handshake."""
        self._is_begun = False
        self._is_counted = False
        """Whether the metrics have how the handshake ended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport below."""
        self._below = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._direct = PlainDirect(self._below)
        self.transport = TlsTransport(self, self._records, self._below, self._direct, self._context)
        self.above.connection_made(self.transport)

    def data_received(self, data: bytes) -> None:
        """Take ciphertext that the loop has read."""
        if self.is_shaken:
            # After a write that failed, the loss is on its way; nothing may come in its turn.
            if (plain := self.decrypt(data)) and not self._below.is_closing():
                self.above.data_received(plain)
        elif not self._is_begun and data[0] != _HANDSHAKE and data[:1].isalpha():
            self._refuse_http()
        else:
            self._is_begun = True
            if not self._received:
                self._below.pause_reading()
                self._handshakes.submit(self)
            self._received += data

    def shake(self) -> None:
        """Do the next step of the handshake."""
        if self._below.is_closing():
            return
        try:
            self.is_shaken = self._records.shake(self._received)
        except ssl.SSLError as error:
            self._fail(error)
            return
        finally:
            self._received = b""
        if ciphertext := self._records.to_send():
            self._below.write(ciphertext)
        self._below.resume_reading()
        if self.is_shaken:
            self._count("resumed" if self._records.tls.session_reused else "done")
            self.transport.write_early()
            self.data_received(b"")  # what came with the end of the handshake

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Return the data, and see to what else is in the records: an end, an alert, new keys."""
        records = self._records
        plain = records.decrypt(ciphertext)
        if records.fault is not None:
            self._fail(records.fault)
        else:
            if answer := records.to_send():
                self._below.write(answer)
            if records.is_ended:
                # The data comes first: this may be called by whoever hands it over.
                asyncio.get_running_loop().call_soon(self._end)
        return plain

    def send_last(self, data: bytes) -> None:
        """Send what comes before a close.

        It goes to the socket at once if nothing waits before it. Otherwise the transport would
        still have something to send, and who closes it next might take that for a peer that does
        not read.
        """
        if self._below.get_write_buffer_size():
            self._below.write(data)
        else:
            self._direct.write_now(data)

    def eof_received(self) -> None:
        """Take note that the peer sends no more; the transport below closes."""
        if not self._records.is_ended:
            self.above.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection is lost."""
        self._count("lost")
        above, self.above = self.above, _NOBODY
        above.connection_lost(exc)
        del self.transport  # without a cycle all three are freed at once

    def pause_writing(self) -> None:
        """Take note that the peer does not read."""
        self.above.pause_writing()

    def resume_writing(self) -> None:
        """Take note that the peer reads again."""
        self.above.resume_writing()

    def _end(self) -> None:
        """The peer has closed its direction; TLS closes both."""
        if not self._below.is_closing():
            self.above.eof_received()
            self.transport.close()

    def _refuse_http(self) -> None:
        self._count("plain_http")
        self.send_last(self._refusal)
        self._below.close()

    def _fail(self, error: ssl.SSLError) -> None:
        """Send the alert, and close."""
        self._count("refused")
        log.debug("a TLS connection failed", reason=error.reason or str(error))
        if not self._below.is_closing():
            self.send_last(self._records.to_send())
            # The data before the fault comes first, and is taken before the loss.
            asyncio.get_running_loop().call_soon(self._below.close)

    def _count(self, result: str) -> None:
        if not self._is_counted:
            self._is_counted = True
            self._handshakes.metrics.tls_handshakes.labels(result).inc()
