"""One stream before all others: checks that the server runs and serves what is requested."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from streamd.bench.mixing import Mixer
from streamd.client import RefusedByServer, connect
from streamd.errors import BadConfig, CannotConnect
from streamd.types import RATE_HZ

WARM_S = 3
"""Seconds of audio, sent as fast as possible, so that the server's one-time work is done."""
TIMEOUT_S = 60
MODULES = ("vad", "wake", "speaker", "emotion")
_UNSERVED = ("unknown_module", "unknown_word", "module_unavailable", "unknown_option")


def modules_of(modules: Sequence[str], words: Sequence[str]) -> dict[str, Any]:
    """Return `hello.modules` for names of modules; the others are off."""
    chosen: dict[str, Any] = dict.fromkeys(MODULES, False) | {name: {} for name in modules}
    if "wake" in modules:
        chosen["wake"] = {"words": list(words)}
    return chosen


def probe(url: str, key: str | None, modules: dict[str, Any], mixer: Mixer) -> dict[str, Any]:
    """Open a stream, play a moment and end it.

    Returns:
        The server's `ready`.

    Raises:
        CannotConnect: no server answers in time.
        RefusedByServer: the server refuses the stream.
        BadConfig: it does not serve what is requested.
    """
    try:
        return asyncio.run(asyncio.wait_for(_probe(url, key, modules, mixer), TIMEOUT_S))
    except TimeoutError:
        raise CannotConnect(f"{url} opened a stream and did not end it in {TIMEOUT_S} s") from None
    except RefusedByServer as refused:
        if refused.code == "bad_config":
            raise BadConfig(refused.message) from None
        if refused.status == 503:
            raise RefusedByServer(
                "the server takes no stream: it is full (its limits.max_streams), or it drains; "
                "see its /health, and try again when others have ended",
                code=refused.code,
            ) from None
        raise


async def _probe(
    url: str, key: str | None, modules: dict[str, Any], mixer: Mixer
) -> dict[str, Any]:
    audio = mixer.stream(0)
    count = WARM_S * RATE_HZ // mixer.message_samples
    async with connect(
        url, modules=modules, client="streamd-bench", key=key, reconnect_s=0
    ) as stream:
        for _ in range(count):
            await stream.send(next(audio).pcm)
        await stream.end()
        async for event in stream:
            if event["type"] == "warning" and event["code"] in _UNSERVED:
                raise BadConfig(f"the server does not serve this: {event['message']}")
        return stream.ready
