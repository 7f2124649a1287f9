"""The client's side of a TLS connection over a socket that is read and written by hand."""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Any


class TlsBytes:
    """As bytes in, bytes out."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def shake(self, received: bytes) -> bytes:
        """Go on with the handshake; gives what is to be sent."""
        self.incoming.write(received)
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    def encrypt(self, data: bytes) -> bytes:
        """One record, or several if it is long."""
        sent = 0
        while sent < len(data):
            sent += self.tls.write(data[sent:])
        return self.outgoing.read()

    def decrypt(self, ciphertext: bytes) -> bytes:
        """All that can be decrypted by now."""
        self.incoming.write(ciphertext)
        data = b""
        try:
            while part := self.tls.read(65_536):
                data += part
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return data

    def close(self) -> bytes:
        """The record that says that nothing more comes."""
        with suppress(ssl.SSLError):
            self.tls.unwrap()
        return self.outgoing.read()


class TlsSocket:
    """What a test asks of a socket, encrypted.

    Args:
        below: connected, and not blocking.
        context: of a client.
    """

    def __init__(self, below: socket.socket, context: ssl.SSLContext) -> None:
        self.below = below
        self.bytes = TlsBytes(context)

    async def shake(self) -> None:
        """Do the whole handshake."""
        loop = asyncio.get_running_loop()
        answer = b""
        while True:
            await loop.sock_sendall(self.below, self.bytes.shake(answer))
            if self.bytes.tls.version() and self.bytes.tls.cipher():
                return
            answer = await loop.sock_recv(self.below, 65_536)
            assert answer, "the server closed"

    def read_tickets(self) -> None:
        """Read what comes behind the handshake, as clients do: a close would be a reset."""
        with suppress(BlockingIOError):
            self.recv(65_536)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.send_raw(self.bytes.encrypt(data))

    def send_raw(self, ciphertext: bytes) -> None:
        """Send bytes as they are."""
        sent = self.below.send(ciphertext)
        assert sent == len(ciphertext), "more than the buffer of a test's socket"

    def recv(self, most: int) -> bytes:
        """What has come; it raises as a socket does if nothing has."""
        ciphertext = self.below.recv(most)
        data = self.bytes.decrypt(ciphertext)
        if ciphertext and not data:
            raise BlockingIOError
        return data

    def close(self) -> None:
        """Close without a word."""
        self.below.close()

    def setsockopt(self, *option: Any) -> None:
        """Set an option of the socket below."""
        self.below.setsockopt(*option)
