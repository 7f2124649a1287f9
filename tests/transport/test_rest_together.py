"""Several files of one request: in order, at once up to a bound, in bounded memory."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import BadInput, NotAudio, TooShort
from streamd.observability.metrics import Metrics
from streamd.transport.http.rest.bodies import File
from streamd.transport.http.rest.forms import HELD_BYTES, Form
from streamd.transport.http.rest.memory import Memory
from streamd.transport.http.rest.together import TotalProgress, read_all

PIECE = 1 << 16


class Sent(Form):
    """A form whose files come one after the other, as behind a long one."""

    def __init__(self, memory: Memory, sizes: list[int]) -> None:
        self.lending = memory.lend()
        super().__init__(self.lending.__enter__(), 1 << 40)
        self.sizes = sizes

    async def files(self) -> AsyncGenerator[File, None]:
        for number, size in enumerate(self.sizes):
            body = _bytes(number, size)
            yield File("tests", str(number), body)
            assert [piece async for piece in body] == []


async def _bytes(number: int, size: int) -> AsyncIterator[bytes]:
    for start in range(0, size, PIECE):
        await asyncio.sleep(0)
        yield bytes([number % 256]) * min(PIECE, size - start)


SIZES = st.one_of(st.integers(0, 3 * PIECE), st.integers(HELD_BYTES - 1, HELD_BYTES + PIECE))


@given(st.lists(SIZES, max_size=12), st.integers(1, 5), st.integers(0, 4 * HELD_BYTES))
def test_every_file_is_read_whole_within_the_bounds(
    sizes: list[int], at_once: int, limit_bytes: int
) -> None:
    async def run() -> None:
        memory = Memory(Metrics(), limit_bytes)
        form = Sent(memory, sizes)
        found: dict[int, bytes] = {}
        in_work = most = 0

        async def read(number: int, file: File) -> None:
            nonlocal in_work, most
            in_work += 1
            most = max(most, in_work)
            assert memory.taken <= min(at_once * HELD_BYTES, limit_bytes)
            found[number] = b"".join([piece async for piece in file.body])
            await asyncio.sleep(0)
            in_work -= 1

        await read_all(form, at_once, read)
        assert [found[n] for n in range(len(sizes))] == [
            bytes([n % 256]) * size for n, size in enumerate(sizes)
        ]
        assert most <= at_once
        assert memory.taken == 0

    asyncio.run(run())


async def test_short_files_are_read_at_once() -> None:
    all_there = asyncio.Barrier(3)

    async def read(number: int, file: File) -> None:
        await all_there.wait()

    await read_all(Sent(Memory(Metrics()), [PIECE] * 6), 3, read)


async def test_the_first_file_that_fails_is_the_error_whatever_fails_before_it() -> None:
    memory = Memory(Metrics())
    form = Sent(memory, [PIECE] * 9)
    ended: dict[int, str] = {}
    has_failed = asyncio.Event()

    async def read(number: int, file: File) -> None:
        ended[number] = "given up"
        if number == 3:
            has_failed.set()
            raise NotAudio("the fourth")
        if number == 1:
            await has_failed.wait()
            assert len([piece async for piece in file.body]) == 1
            raise TooShort("the second")
        if number != 0:
            await asyncio.Event().wait()
        await has_failed.wait()
        ended[number] = "read"

    with pytest.raises(TooShort, match="the second"):
        await read_all(form, 4, read)
    assert ended.pop(0) == "read"
    assert set(ended.values()) == {"given up"}
    assert max(ended) <= 4
    form.lending.__exit__(None, None, None)
    assert memory.taken == 0


@pytest.mark.parametrize("size", [PIECE, 40 * PIECE])
async def test_a_failure_stops_a_long_file_between_two_pieces(size: int) -> None:
    """So that the body can be read on, for a digest of all of it."""
    form = Sent(Memory(Metrics()), [PIECE, 40 * PIECE, size])
    pieces = 0

    async def read(number: int, file: File) -> None:
        nonlocal pieces
        if number == 0:
            await asyncio.sleep(0.01)
            raise NotAudio("the first")
        async for _ in file.body:
            pieces += 1
            await asyncio.sleep(0.001)

    with pytest.raises(NotAudio, match="the first"):
        await read_all(form, 2, read)
    assert 0 < pieces < 40


async def test_a_malformed_body_is_refused_unless_a_file_before_it_fails() -> None:
    class Broken(Sent):
        async def files(self) -> AsyncGenerator[File, None]:
            async for file in super().files():
                yield file
            raise BadInput("malformed")

    async def good(number: int, file: File) -> None:
        await asyncio.sleep(0)

    async def bad(number: int, file: File) -> None:
        await asyncio.sleep(0.01)
        raise NotAudio(str(number))

    with pytest.raises(BadInput):
        await read_all(Broken(Memory(Metrics()), [PIECE] * 3), 4, good)
    with pytest.raises(NotAudio, match="0"):
        await read_all(Broken(Memory(Metrics()), [PIECE] * 3), 4, bad)


async def test_a_client_that_leaves_ends_every_file() -> None:
    form = Sent(Memory(Metrics()), [PIECE] * 3)
    ended: list[int] = []
    begun = asyncio.Barrier(4)

    async def read(number: int, file: File) -> None:
        try:
            await begun.wait()
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    reading = asyncio.create_task(read_all(form, 4, read))
    await begun.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert sorted(ended) == [0, 1, 2]


async def test_progress_adds_up_and_never_falls() -> None:
    said: list[tuple[int, int | None]] = []

    async def report(done_ms: int, total_ms: int | None) -> None:
        said.append((done_ms, total_ms))

    total = TotalProgress(report)
    one, other = total.of_one(), total.of_one()
    await one(500, 1000)
    await other(300, None)
    await one(1000, 1000)
    await other(400, None)
    assert said == [(500, None), (800, None), (1300, None), (1400, None)]
