"""Events leave at once where nothing is in their way, and in order where something is."""

import asyncio
from collections.abc import Iterator

import pytest
from fakes.certificates import certificate
from fakes.line import Line
from waiting import HANG_S

LENGTHS = [0, 1, 125, 126, 127, 65_535, 65_536, 100_000]


@pytest.fixture(scope="module", autouse=True, params=["plain", "TLS"])
def kind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Every promise here holds with TLS and without."""
    Line.files = certificate(tmp_path_factory.mktemp("tls")) if request.param == "TLS" else None
    yield
    Line.files = None


async def test_what_is_sent_is_there_before_the_loop_has_had_a_turn():
    texts = ["ä" * (length // 2) + "x" * (length % 2) for length in LENGTHS]
    async with Line() as line:
        for text in texts:
            assert line.socket.is_clear
            line.socket.send_now([text])
            if len(text.encode()) < 65_536:
                assert line.received() == [text]
        assert line.socket.is_clear or await _drained(line)


async def test_several_leave_together_and_in_order():
    async with Line() as line:
        line.socket.send_now(["one", "two", "three"])
        assert line.received() == ["one", "two", "three"]


async def test_to_who_does_not_read_the_transport_sends_the_rest_when_he_does():
    texts = [f"{number:04}" * 1000 for number in range(500)]
    async with Line() as line:
        sent = 0
        while line.socket.is_clear:
            line.socket.send_now([texts[sent]])
            sent += 1
            assert sent < len(texts)
        received: list[str] = []
        while len(received) < sent:
            received += line.received()
            await asyncio.sleep(0)
        assert received == texts[:sent]
        assert line.socket.is_clear
        line.socket.send_now(["more"])
        assert line.received() == ["more"]


@pytest.mark.parametrize("how", ["closed", "closing"])
async def test_a_socket_that_closes_is_not_clear(how: str):
    async with Line() as line:
        if how == "closed":
            line.response.closed = True
        else:
            line.transport.close()
        assert not line.socket.is_clear


async def test_that_nobody_is_there_any_more_the_transport_notices():
    async with Line() as line:
        line.theirs.close()
        line.socket.send_now(["to nobody"])
        async with asyncio.timeout(HANG_S):
            while not line.transport.is_closing():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def _drained(line: Line) -> bool:
    while not line.socket.is_clear:
        line.received()
        await asyncio.sleep(0)
    return True
