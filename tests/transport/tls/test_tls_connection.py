"""A TLS connection is a transport like any other to whoever stands above it."""

import asyncio
import gc
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop
from fakes.certificates import Files, certificate
from fakes.tls_client import TlsBytes, TlsSocket
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from streamd.observability.metrics import Metrics
from streamd.transport.tls.connection import TlsConnection
from streamd.transport.tls.handshakes import Handshakes

REFUSAL = b"HTTP/1.1 400 Bad Request\r\n\r\n"


class Above(asyncio.Protocol):
    """Keeps all that it is told."""

    def __init__(self) -> None:
        self.received = b""
        self.told: list[str] = []
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        assert data
        self.received += data

    def eof_received(self) -> None:
        self.told.append("eof")

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")


class Pair:
    """The server's connection, and the client's socket."""

    def __init__(self, files: Files) -> None:
        self.ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.raw = theirs
        self.theirs = TlsSocket(theirs, files.client)
        self.above = Above()
        self.metrics = Metrics()
        self.connection = TlsConnection(self.above, files.server, Handshakes(self.metrics), REFUSAL)

    async def shaken(self) -> None:
        await self.theirs.shake()
        await until(lambda: self.connection.is_shaken)
        await asyncio.sleep(0.01)
        self.theirs.read_tickets()

    def handshakes(self, result: str) -> float:
        name, labels = "streamd_tls_handshakes_total", {"result": result}
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    async def received(self, count: int) -> bytes:
        """So many bytes of data that the client got."""
        data = b""

        def grown() -> bool:
            nonlocal data
            with suppress(BlockingIOError):
                data += self.theirs.recv(65_536)
            return len(data) >= count

        await until(grown)
        return data

    async def closed(self) -> bytes:
        """What comes up to the end of the connection, as it is."""
        rest, is_over = b"", False

        def ended() -> bool:
            nonlocal rest, is_over
            try:
                while not is_over:
                    data = self.raw.recv(65_536)
                    rest, is_over = rest + data, not data
            except BlockingIOError:
                pass
            return is_over

        await until(ended)
        return rest


@asynccontextmanager
async def pair(files: Files) -> AsyncIterator[Pair]:
    made = Pair(files)
    await asyncio.get_running_loop().create_connection(lambda: made.connection, sock=made.ours)
    try:
        yield made
    finally:
        made.above.transport.abort()
        made.raw.close()
        await until(lambda: "lost" in made.above.told)
        assert made.above.told.count("lost") == 1


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=[uvloop.Loop, asyncio.SelectorEventLoop])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Runs a test on each of the two loops."""

    def run(main: Any) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(main)

    return run


def test_data_comes_to_the_protocol_above_and_back(run, files):
    async def main() -> None:
        async with pair(files) as both:
            await both.shaken()
            both.theirs.send(b"hello")
            await until(lambda: both.above.received == b"hello")
            both.above.transport.write(b"welcome")
            both.above.transport.writelines([b", ", bytearray(b"you"), memoryview(b"!")])
            assert await both.received(13) == b"welcome, you!"
            assert both.handshakes("done") == 1

    run(main())


@given(
    st.lists(st.binary(min_size=1, max_size=2000), max_size=6),
    st.lists(st.integers(0, 4000), max_size=8),
)
def test_the_handshake_and_the_data_may_be_cut_anywhere(run, files, chunks, cuts):
    async def send(both: Pair, data: bytes) -> None:
        places = sorted(min(cut, len(data)) for cut in cuts)
        for start, end in zip([0, *places], [*places, len(data)], strict=True):
            if start < end:
                both.theirs.send_raw(data[start:end])
                await asyncio.sleep(0)

    async def main() -> None:
        async with pair(files) as both:
            answer = b""
            while not both.theirs.bytes.tls.cipher():
                await send(both, both.theirs.bytes.shake(answer))
                if not both.theirs.bytes.tls.cipher():
                    answer = await asyncio.get_running_loop().sock_recv(both.raw, 65_536)
            await send(both, b"".join(map(both.theirs.bytes.encrypt, chunks)))
            await until(lambda: both.above.received == b"".join(chunks))

    run(main())


def test_what_is_written_before_the_end_of_the_handshake_is_sent_behind_it(run, files):
    async def main() -> None:
        async with pair(files) as both:
            both.above.transport.write(b"early")
            assert both.above.transport.get_write_buffer_size() == 5
            await both.theirs.shake()
            assert await both.received(5) == b"early"

    run(main())


def test_while_reading_is_paused_nothing_comes_and_nothing_is_lost(run, files):
    async def main() -> None:
        async with pair(files) as both:
            await both.shaken()
            transport = both.above.transport
            transport.pause_reading()
            assert not transport.is_reading()
            both.theirs.send(b"x" * 10_000)
            await asyncio.sleep(0.05)
            assert both.above.received == b""
            transport.resume_reading()
            assert transport.is_reading()
            await until(lambda: len(both.above.received) == 10_000)

    run(main())


def test_a_peer_that_does_not_read_pauses_the_writer_as_without_tls(run, files):
    async def main() -> None:
        async with pair(files) as both:
            await both.shaken()
            transport = both.above.transport
            transport.set_write_buffer_limits(high=50_000, low=10_000)
            sent = 0
            while "pause" not in both.above.told:
                transport.write(b"y" * 10_000)
                sent += 10_000
                await asyncio.sleep(0)
            assert transport.get_write_buffer_size() > 50_000
            assert len(await both.received(sent)) == sent
            await until(lambda: "resume" in both.above.told)
            assert transport.get_write_buffer_size() == 0

    run(main())


def test_a_close_sends_what_waits_and_says_that_nothing_more_comes(run, files):
    async def main() -> None:
        async with pair(files) as both:
            await both.shaken()
            both.above.transport.write(b"last words")
            both.above.transport.close()
            assert both.above.transport.is_closing()
            both.above.transport.write(b"too late")
            both.above.transport.close()
            assert both.theirs.bytes.decrypt(await both.closed()) == b"last words"
            assert both.theirs.bytes.tls.read(1) == b""  # a close, not a cut
            assert both.above.told == ["made", "lost"]

    run(main())


def test_a_close_leaves_nothing_to_send_if_nothing_waited(run, files):
    """Whoever closes looks at the buffer, and drops a peer that does not read."""

    async def main() -> None:
        async with pair(files) as both:
            await both.shaken()
            both.above.transport.close()
            assert both.above.transport.get_write_buffer_size() == 0

    run(main())


def test_a_peer_that_closes_is_answered_with_a_close(run, files):
    async def main() -> None:
        async with pair(files) as both:
            await both.shaken()
            both.theirs.send_raw(both.theirs.bytes.encrypt(b"bye") + both.theirs.bytes.close())
            rest = await both.closed()
            assert rest
            assert both.above.received == b"bye"
            both.theirs.bytes.incoming.write(rest)
            both.theirs.bytes.tls.unwrap()  # raises if the server said no goodbye
            assert both.above.told == ["made", "eof", "lost"]

    run(main())


@pytest.mark.parametrize("how", ["without a word", "in the handshake", "at once"])
def test_a_peer_that_vanishes_is_noticed(run, files, how):
    async def main() -> None:
        async with pair(files) as both:
            if how == "without a word":
                await both.shaken()
            elif how == "in the handshake":
                both.theirs.send_raw(both.theirs.bytes.shake(b"")[:100])
                await asyncio.sleep(0.01)
            both.raw.close()
            await until(lambda: "lost" in both.above.told)
            assert both.above.told == ["made", "eof", "lost"]
            assert both.handshakes("lost") == (how != "without a word")

    run(main())


def test_nothing_comes_behind_a_loss_that_is_on_its_way(run, files):
    """aiohttp fails at a request of which it learns in the same turn as of the loss, before it."""

    async def main() -> None:
        async with pair(files) as both:
            loop, client = asyncio.get_running_loop(), both.theirs.bytes
            both.theirs.send_raw(client.shake(b""))
            last = client.shake(await loop.sock_recv(both.raw, 65_536))
            both.theirs.send_raw(last + client.encrypt(b"late"))
            both.raw.close()  # so that the server's tickets, which it sends first, fail
            order: list[str] = []
            data_received = both.above.data_received

            def received(data: bytes) -> None:
                data_received(data)
                loop.call_soon(lambda: order.extend(both.above.told))

            both.above.data_received = received
            await until(lambda: "lost" in both.above.told)
            assert "lost" not in order

    run(main())


def test_forged_records_are_answered_with_an_alert_and_a_close(run, files):
    async def main() -> None:
        async with pair(files) as both:
            await both.shaken()
            good = both.theirs.bytes.encrypt(b"good")
            forged = bytearray(both.theirs.bytes.encrypt(b"forged"))
            forged[-1] ^= 1
            both.theirs.send_raw(good + bytes(forged))
            alert = await both.closed()
            assert both.above.received == b"good"
            with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
                both.theirs.bytes.decrypt(alert)

    run(main())


@pytest.mark.parametrize(
    "first",
    [
        b"\x16\x03\x01\x00\x05hello",
        b"\x00" * 100,
        b"\xff" * 20_000,
        b"\x16\x03\x01\xff\xff" + b"x" * 70_000,
        b"\x80\x2e\x01\x00\x02" + bytes(60),
    ],
)
def test_garbage_in_the_handshake_ends_the_connection(run, files, first):
    async def main() -> None:
        async with pair(files) as both:
            both.raw.setblocking(True)
            await asyncio.to_thread(both.raw.sendall, first)
            both.raw.setblocking(False)
            await both.closed()
            await until(lambda: "lost" in both.above.told)
            assert both.above.received == b""
            assert both.handshakes("refused") == 1

    run(main())


def test_http_without_tls_is_told_what_to_do(run, files):
    async def main() -> None:
        async with pair(files) as both:
            both.raw.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await both.closed() == REFUSAL
            assert both.handshakes("plain_http") == 1
            assert both.above.received == b""

    run(main())


def test_an_abort_drops_what_is_unsent(run, files):
    async def main() -> None:
        async with pair(files) as both:
            await both.shaken()
            for _ in range(100):
                both.above.transport.write(b"z" * 100_000)
            both.above.transport.abort()
            await until(lambda: "lost" in both.above.told)

    run(main())


def test_it_says_what_it_is(run, files):
    async def main() -> None:
        async with pair(files) as both:
            await both.shaken()
            transport = both.above.transport
            assert isinstance(transport.get_extra_info("sslcontext"), ssl.SSLContext)
            assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
            assert transport.get_extra_info("socket").fileno() == transport.descriptor
            assert transport.get_extra_info("nothing", "default") == "default"
            assert not transport.can_write_eof()
            other = Above()
            transport.set_protocol(other)
            assert transport.get_protocol() is other
            both.theirs.send(b"for the other")
            await until(lambda: other.received == b"for the other")
            transport.set_protocol(both.above)

    run(main())


def test_read_past_the_loop_it_gives_data_none_or_an_end(run, files):
    async def main() -> None:
        async with pair(files) as both:
            await both.shaken()
            transport = both.above.transport
            transport.pause_reading()
            assert transport.read_now(1000) is None
            ciphertext = both.theirs.bytes.encrypt(b"one") + both.theirs.bytes.encrypt(b"two")
            both.theirs.send_raw(ciphertext[:-1])
            assert transport.read_now(1000) == b"one"
            assert transport.read_now(1000) is None
            both.theirs.send_raw(ciphertext[-1:])
            assert transport.read_now(1000) == b"two"
            transport.write_now(b"there")
            assert await both.received(5) == b"there"
            both.theirs.send_raw(both.theirs.bytes.encrypt(b"last") + both.theirs.bytes.close())
            assert transport.read_now(1000) == b"last"
            await until(lambda: "lost" in both.above.told)
            assert both.above.told == ["made", "eof", "lost"]

    run(main())


def test_one_that_is_over_is_freed_at_once(run, files):
    async def opened_and_closed() -> weakref.ref[TlsConnection]:
        async with pair(files) as both:
            await both.shaken()
            both.above.transport.close()
            await both.closed()
            await until(lambda: "lost" in both.above.told)
            return weakref.ref(both.connection)

    async def main() -> None:
        gc.collect()
        gc.disable()
        try:
            gone = await opened_and_closed()
            await until(lambda: gone() is None)
        finally:
            gc.enable()

    run(main())


def test_a_client_can_take_tls_1_2(run, files):
    async def main() -> None:
        async with pair(files) as both:
            context = files.client
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            both.theirs.bytes = TlsBytes(context)
            await both.shaken()
            both.theirs.send(b"old but good")
            await until(lambda: both.above.received == b"old but good")
            assert both.theirs.bytes.tls.cipher()[0].startswith("ECDHE-")

    run(main())
