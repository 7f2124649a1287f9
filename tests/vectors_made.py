"""The conformance vectors of `tests/vectors`, written by what a real server answers.

    python tests/vectors_made.py        # write audio and vectors anew, with today's answers

`vector_drafts.py` says what the client does.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from conformance import AUDIO, FOLDER, Seen, Vector, differences, log_of
from daemons import DEFAULT, Daemon
from vector_drafts import drafts, sounds
from vector_player import Player, staged

NOT_COMPARED = ("type", "seq", "message", "events")
"""Of log events: numbers that interim events change, and words for people."""
AUDIO_FIELDS = ("codec", "rate", "channels", "use")


def expected(vector: Vector, seen: Seen) -> dict[str, Any]:
    """What a client must receive: what this one did."""
    expect: dict[str, Any] = {}
    readies, acks = seen.of("ready"), seen.of("ack")
    if readies:
        audio = {name: readies[0]["audio"][name] for name in AUDIO_FIELDS}
        expect["ready"] = {"protocol": readies[0]["protocol"], "audio": audio}
    if len(readies) > 1:
        names = ["resumed"]
        if vector.kinds >= {"drop", "lose"}:
            names += ["have_samples", "have_controls"]
        expect["resumed"] = {name: readies[-1][name] for name in names}
    expect["log"] = {kind: _kept(events) for kind, events in sorted(log_of(seen.events).items())}
    if pongs := seen.of("pong"):
        expect["others"] = {"pong": [{"t": event["t"]} for event in pongs]}
    if acks and seen.close == 1000:
        expect["acked"] = acks[-1]["samples"]
    outcome = {"close": seen.close, "http": seen.http}
    return expect | {name: value for name, value in outcome.items() if value is not None}


def _kept(value: Any) -> Any:
    if isinstance(value, list):
        return [_kept(one) for one in value]
    if isinstance(value, dict):
        return {k: _kept(v) for k, v in value.items() if k not in NOT_COMPARED}
    return value


def written(vector: Vector) -> str:
    """The text of a vector's file: one line for each step and event."""
    every = {field.name: getattr(vector, field.name) for field in dataclasses.fields(vector)}
    fields = {name: value for name, value in every.items() if value or name == "expect"}
    if not vector.audio or vector.packet_samples:
        del fields["frame_bytes"]
    return _lines(fields, 0) + "\n"


def _lines(value: Any, indent: int) -> str:
    """JSON in which whatever fits on a line of 110 characters is on one."""
    flat = json.dumps(value, ensure_ascii=False)
    if (0 < indent <= 110 - len(flat)) or not isinstance(value, (dict, list)):
        return flat
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        inner = [f"{pad}{json.dumps(k)}: {_lines(v, indent + 2)}" for k, v in value.items()]
        opening, closing = "{", "}"
    else:
        inner = [pad + _lines(item, indent + 2) for item in value]
        opening, closing = "[", "]"
    return f"{opening}\n" + ",\n".join(inner) + f"\n{' ' * indent}{closing}"


async def make() -> None:
    """Write audio and vectors."""
    AUDIO.mkdir(exist_ok=True)
    for name, data in sounds().items():
        (AUDIO / name).write_bytes(data)
    with tempfile.TemporaryDirectory() as home, Daemon(Path(home), **DEFAULT) as daemon:
        for vector in drafts():
            async with staged(daemon, vector) as stage:
                seen = await Player(stage, vector).play()
            vector.expect.update(expected(vector, seen))
            assert not differences(vector, seen), differences(vector, seen)
            (FOLDER / f"{vector.name}.json").write_text(written(vector), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(make())
