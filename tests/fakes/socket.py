"""A WebSocket in memory: a test puts the client's messages, and reads what it was sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any


class FakeSocket:
    """What `live.socket.Socket` asks for. `None` put into `incoming` is a peer that is gone."""

    def __init__(self) -> None:
        self.is_clear = True
        self.incoming: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while (message := await self.incoming.get()) is not None:
            yield message

    def on_audio(self, take: Callable[[list[bytes]], bool] | None) -> None:
        """Everything comes by iteration."""

    def rest(self) -> None: ...

    def send_now(self, texts: Sequence[str]) -> None:
        self.sent += [json.loads(text) for text in texts]

    async def send(self, text: str) -> None:
        self.send_now([text])

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def abort(self) -> None:
        self.incoming.put_nowait(None)
