"""Several files of one request: in order, at once up to a bound, in bounded memory."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import NotAudio
from streamd.observability.metrics import Metrics
from streamd.transport.http.rest.forms import HELD_BYTES, File, Form
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


async def test_the_first_error_ends_the_others_and_is_raised_as_it_is() -> None:
    memory = Memory(Metrics())
    ended: list[int] = []

    async def read(number: int, file: File) -> None:
        try:
            if number == 2:
                raise NotAudio("no audio")
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    form = Sent(memory, [PIECE] * 9)
    with pytest.raises(NotAudio):
        await read_all(form, 4, read)
    assert {0, 1, 2} <= set(ended) <= {0, 1, 2, 3}
    form.lending.__exit__(None, None, None)
    assert memory.taken == 0


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
