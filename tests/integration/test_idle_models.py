"""A server whose models leave memory between two streams, and come back with the same events."""

import re
import sys
from pathlib import Path

from daemons import DEFAULT, Daemon, assert_same_log, converse, cut, silence, speech

END = {"type": "end"}
HELLO = {"type": "hello", "modules": {"vad": {}, "wake": {}, "speaker": {}, "emotion": {}}}
AUDIO = speech("slt") + silence(1.0)
MAIN = "campplus"
LEAST_MB = 40
"""Of the 90 MB that CAM++ and GE2E take; the heap of a busy process keeps some."""


def resident_mb(daemon: Daemon) -> float:
    if sys.platform != "linux":
        return 0.0
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


async def test_idle_models_leave_memory_and_come_back_with_the_same_events(
    tmp_path: Path, daemon: Daemon
) -> None:
    expected = (await converse(daemon.url, HELLO, cut(AUDIO), END)).log
    assert {"speaker", "emotion", "wake"} <= {event["type"] for event in expected}
    settings = {**DEFAULT, "limits__max_lag_ms": 0, "models__idle_unload_s": 1}
    with Daemon(tmp_path, **settings) as idle:

        def loaded(model: str) -> float:
            return idle.metric("streamd_model_loaded", model=model)

        await idle.eventually(lambda: loaded(MAIN) == loaded("ge2e") == 0)
        empty_mb = resident_mb(idle)
        assert loaded("silero") == loaded("wake_embed") == 1
        assert idle.get("/health")[0] == 200
        assert_same_log((await converse(idle.url, HELLO, cut(AUDIO), END)).log, expected)
        full_mb = resident_mb(idle)
        if loaded(MAIN):  # nothing was unloaded meanwhile
            assert sys.platform != "linux" or full_mb > empty_mb + LEAST_MB
        await idle.eventually(lambda: loaded(MAIN) == loaded("ge2e") == 0)
        await idle.eventually(
            lambda: sys.platform != "linux" or resident_mb(idle) < empty_mb + LEAST_MB
        )
        assert idle.metric("streamd_model_loads_total", model=MAIN) >= 2
        assert idle.metric("streamd_model_loads_total", model="silero") == 1
        assert idle.complaints() == []
