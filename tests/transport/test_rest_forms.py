"""The digest of a request, by which a repeated one is known, covers all of it."""

from collections.abc import Callable

import pytest
from aiohttp import ClientSession, FormData, web
from aiohttp.test_utils import TestServer

from streamd.observability.metrics import Metrics
from streamd.transport.http.rest import forms
from streamd.transport.http.rest.memory import Memory

FIRST, SECOND = bytes(range(250)) * 4000, b"\r\n--b" * 100_000
"""Files of which neither fits into the memory that these tests allow a request."""

Body = Callable[[], FormData | bytes]


def form_data() -> FormData:
    data = FormData()
    data.add_field("threshold", "0.4")
    data.add_field("audio", FIRST, filename="one.bin")
    data.add_field("test", SECOND, filename="two.bin")
    return data


async def digests(
    monkeypatch: pytest.MonkeyPatch, pieces: list[int | None], body: Body
) -> set[bytes]:
    """Return the digests of one request whose first file is read so far; None reads all."""
    monkeypatch.setattr(forms, "KEPT_BYTES", 100_000)
    found: set[bytes] = set()
    read: list[int | None] = []

    async def handle(request: web.Request) -> web.Response:
        wanted = read[-1]
        async with forms.open_form(request, Memory(Metrics()), 1 << 30) as form:
            if wanted is None:
                await form.drain()
            else:
                file = await form.file()
                source = aiter(file.body)
                for _ in range(wanted):
                    await anext(source)
                await form.read_rest()
            found.add(form.digest)
            assert await request.content.read() == b"", "all of it was read"
        return web.Response()

    app = web.Application()
    app.router.add_post("/", handle)
    async with TestServer(app) as server, ClientSession() as session:
        for count in pieces:
            read.append(count)
            async with session.post(server.make_url("/"), data=body()) as answer:
                assert answer.status == 200
    return found


async def test_a_digest_covers_all_files_wherever_a_reader_gave_up(monkeypatch) -> None:
    assert len(await digests(monkeypatch, [None, 0, 1, 2, 5, 15], form_data)) == 1


async def test_a_digest_of_a_body_covers_it_wherever_a_reader_gave_up(monkeypatch) -> None:
    bodies = await digests(monkeypatch, [None, 0, 1, 7, 16], lambda: FIRST)
    assert len(bodies) == 1
    assert await digests(monkeypatch, [0], lambda: FIRST[:-1]) != bodies
