"""What a stream gives the engine."""

import time

import pytest
from fakes.driving import fake_passes, fake_registry, tone

from streamd.engine.base import Lease
from streamd.engine.local import LocalEngine
from streamd.engine.passes.fake import FakeSpeculative
from streamd.live.pace import Pace
from streamd.live.sink import StreamSink
from streamd.modules.gallery import Gallery
from streamd.observability.metrics import Metrics
from streamd.session.session import Session
from streamd.types import AudioFormat, Job, Lane


class Engine(LocalEngine):
    """Remembers what it was given."""

    def submit(self, lease: Lease, jobs: list[Job]) -> None:
        self.given = [*getattr(self, "given", []), *jobs]
        super().submit(lease, jobs)


class Stream:
    """Goes on whenever answers are in."""

    def __init__(self, *, is_ahead: bool) -> None:
        *passes, speculative = fake_passes()
        assert isinstance(speculative, FakeSpeculative)
        self.engine = Engine(passes, 1, 1, Metrics(), [speculative])
        lease = self.engine.open()
        registry = fake_registry()
        modules, _ = registry.resolve(None)
        session = Session(registry, modules, AudioFormat(), lease.slots, Gallery.empty)
        pace = Pace(time.monotonic())
        if is_ahead:
            pace.took(1000.0, 0, time.monotonic())
        self.sink = StreamSink(self, session, self.engine, lease, pace)

    def play(self) -> set[Lane]:
        """Play speech of 2 s, and return the lanes of the jobs that came of it."""
        audio = memoryview(tone(440.0, 2000).tobytes())
        while audio:
            audio = audio[self.sink.session.receive_audio(audio[:3200]) :]
            self.advance()
            while self.engine.run_waiting():
                pass
        return {job.lane for job in self.engine.given}

    def advance(self) -> None:
        self.sink.submit()

    def fail(self, job: Job, error: Exception) -> None:
        raise error


@pytest.mark.parametrize("is_ahead", [False, True])
def test_only_a_stream_in_real_time_begins_windows_before_they_are_complete(is_ahead) -> None:
    lanes = Stream(is_ahead=is_ahead).play()
    assert {Lane.LIVE, Lane.INTERIM} <= lanes
    assert (Lane.SPECULATIVE in lanes) is not is_ahead
