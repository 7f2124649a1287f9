"""One stream: audio and answers in, jobs and events out. No socket, no thread, no clock.

Everything is counted in samples at 16 kHz on one timeline, so that the events depend on the
audio alone: not on how it was cut into messages, how fast it came, or when the engine
answered.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from streamd.audio.ring import Ring
from streamd.audio.signature import DESCRIPTIONS
from streamd.audio.source import AudioIn
from streamd.events import (
    Bye,
    Cause,
    Flushed,
    Gap,
    GapCause,
    LogEvent,
    Speaker,
    SpeechEnd,
    SpeechStart,
    TimedEvent,
    WarningEvent,
)
from streamd.modules.base import Reader, ReaderContext, Utterance
from streamd.modules.gallery import Gallery
from streamd.modules.registry import ModuleSet, Registry
from streamd.modules.vad import VadSettings, VadStepper
from streamd.modules.wake import Detection, WakeStepper
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.session.activity import Activity
from streamd.session.history import History
from streamd.session.loudness import Loudness
from streamd.session.planner import Planner
from streamd.session.segmenter import Closed, Opened, Segmenter, SegmenterConfig
from streamd.session.track import Mark, Track
from streamd.session.wakes import EVIDENCE_AGE, Barrier, WakeReporter
from streamd.types import RATE_HZ, AudioFormat, Job, Lane, Samples, Slots

MAX_MARKS = 64
"""Flushes, gaps and changes of configuration that may wait for the audio before them."""
_RESERVE = 4096
"""Samples of the ring kept free for what a resampler still holds at a gap."""
_LEEWAY = 4096
"""Samples that a resampler may hold back and steps may be short of, on top of what is held."""
_CLOCK_MEMORY = 10 * RATE_HZ
"""How far behind the ring times may be asked for: a phrase, a verdict before it, and some."""
_NOTHING: Samples = np.zeros(0, np.int16)


class Session:
    """One stream.

    Feed it with `receive_*`, in the order of the bytes. After each of these, and after each
    `complete`, take `jobs()` to the engine and `events()` to the client.
    """

    def __init__(
        self,
        registry: Registry,
        modules: ModuleSet,
        audio: AudioFormat,
        slots: Mapping[str, Slots],
        gallery: Callable[[], Gallery],
        ring_s: int = 8,
        words: Callable[[], CustomWords] = lambda: NO_WORDS,
    ) -> None:
        self.audio = AudioIn(audio)
        self.modules = modules
        self._registry = registry
        self._words = words
        self._ring = Ring(ring_s * RATE_HZ)
        self._services = ReaderContext(self.audio.clock.ms, gallery, audio.channel_kind)
        self._events: list[LogEvent] = []
        self._count = 0
        self._barriers = 0
        self._speech = 0
        self._spare = 0
        """`room` when it was last asked, less what came since. Old audio is let go again and again,
        so there is never less."""
        self._forgotten = 0
        """Where the tracks were when what lies behind them was last forgotten."""
        self._ended = False
        self._warned: set[str] = set()

        settings = registry.vad.effective(modules.vad)
        self._segmenter = Segmenter(_segmenter_config(settings))
        self._history = History(settings.frame)
        keys = itertools.count()
        """Numbers the jobs. What each is for stands in the tracks and in the planner."""
        self._planner = Planner(self._emit_all, self._utterance_done, registry.speculative, keys)
        vad = VadStepper(settings, self._decided)
        self._vad = Track(
            next(keys), vad, self._ring, slots["vad"], self._passed_vad, settings.copies_state
        )
        self._tracks = [self._vad]
        self._activity = Activity()
        self._is_gated = True
        if registry.wake is not None:
            wake = registry.wake.settings
            self._is_gated = wake.gate
            hold = wake.gate_hold_ms * RATE_HZ // 1000
            self._activity = Activity(wake.gate_threshold, hold)
            self._loudness = Loudness(self._ring, wake.gate_rise_db, hold // WakeStepper.step)
            self._listener = WakeStepper(
                modules.wake, self._services.ms, self._detected, self._may_speak
            )
            self._wake = Track(
                next(keys), self._listener, self._ring, slots["wake"], self._passed_wake
            )
            self._tracks.append(self._wake)
        self._tracks_by_key = {track.key: track for track in self._tracks}
        self._wakes = WakeReporter(
            self._history,
            self._vad,
            self._planner,
            self._services.ms,
            self._emit,
        )

        self._speech_modules = modules
        """The modules of utterances that open now; `modules` is what was asked for last."""
        self._readers: dict[str, Reader] = {}
        self._open_readers(modules)
        self._make_room()

    # What comes in.

    @property
    def room(self) -> int:
        """Bytes of audio that can be taken now; 0 until the engine has caught up."""
        low = min(track.low for track in self._tracks)
        low = min(low, self._planner.low(self._segmenter.watermark))
        free = self._ring.capacity - _RESERVE - (self._ring.head - low)
        return self.audio.bytes_for(max(free, 0))

    def spare(self, wanted: int) -> int:
        """Bytes that can be taken for sure; `room` is only asked where less than that is known."""
        if self._spare < wanted:
            self._spare = self.room
        return self._spare

    @property
    def ring_bytes(self) -> int:
        """Memory of the audio that is kept."""
        return self._ring.capacity * 2

    @property
    def can_mark(self) -> bool:
        """Whether a flush, gap or change of configuration can be taken now."""
        marks = max(len(track.marks) for track in self._tracks)
        return max(marks, self._barriers) < MAX_MARKS

    def receive_audio(self, data: bytes | memoryview) -> int:
        """Take audio, as much as there is room for.

        Returns:
            Bytes taken.
        """
        size = len(data)
        if size > self.spare(size):
            size = self._spare
            data = data[:size]
        self._spare -= size
        self._ring.write(self.audio.push(data))
        if self.audio.is_suspect:
            self._warn_of_input()
        return size

    def receive_gap(self, ms: int = 0, frames: int = 0, cause: GapCause = "client") -> None:
        """The client lost audio here.

        Args:
            ms: How much.
            frames: The same in sample frames at the input rate, where it is known exactly.
            cause: Why.
        """
        t0 = self.audio.now_ms
        self._spare = 0
        self._ring.write(self.audio.gap(ms, frames))
        t1 = self.audio.now_ms
        # No utterance spans a gap, so nobody asks about much that the ring has not.
        self.audio.clock.forget_before(self._ring.head - self._ring.capacity - _CLOCK_MEMORY)
        place = self.audio.position
        gap = Gap(t0=t0, t1=t1, at=t1, cause=cause)
        barrier = self._new_barrier(lambda: self._emit(gap))
        self._mark(Mark(place, place, "gap", _NOTHING, resets=True, payload=barrier))

    def receive_flush(self, flush_id: str) -> None:
        """End the open utterance here and report everything so far, then `flushed`."""
        self._barrier("flush", lambda: self._emit(Flushed(id=flush_id)))

    def receive_config(self, request: Mapping[str, Any]) -> None:
        """Change modules from here on.

        Raises:
            BadConfig: a wrong type or a value out of range; nothing changes.
        """
        modules, warnings = self._registry.resolve(request, self.modules, self._words())
        self.modules = modules
        for code, message in warnings:
            self.warn(code, message)
        self._mark(Mark(self.audio.mark(), self._ring.head, payload=modules))

    def receive_end(self) -> None:
        """The last sample was received. `ended` turns true after the last final event."""
        if self.audio.carried:
            self.warn(
                "partial_sample",
                f"the last sample is incomplete; bytes ignored: {self.audio.carried}",
            )
        self._barrier("end", self._end)

    # What goes out.

    @property
    def is_idle(self) -> bool:
        """Whether nobody has spoken for a while and nothing waits: what comes is not urgent."""
        if self._segmenter.open is not None or self._planner.depth or self._wakes.depth:
            return False
        return (self._is_gated or self.modules.wake is None) and self._activity.is_over(
            self._vad.position
        )

    @property
    def ended(self) -> bool:
        """Whether everything that the end caused is in `events`."""
        return self._ended

    @property
    def learned(self) -> Mapping[str, bytes]:
        """What is to be kept of each enrolled voice, once the session is over."""
        return self._services.voices.learned

    def events(self) -> list[LogEvent]:
        """Events since the last call, in order."""
        events, self._events = self._events, []
        return events

    def jobs(self) -> list[Job]:
        """Work for the engine since the last call."""
        # In this order: a wake word may step when the VAD has.
        jobs = []
        for track in self._tracks:
            if (job := track.advance()) is not None:
                jobs.append(job)  # noqa: PERF401 (at every tick, the frame of one would count)
        self._progress()
        if self._planner.is_waiting:
            jobs.extend(self._planner.jobs())
        return jobs

    def withdrawn(self) -> list[int]:
        """Keys of the jobs that the engine need not run any more, since the last call."""
        return self._planner.withdrawn()

    def cut(self, job: Job) -> Samples:
        """The samples of a job, when it is put into a batch."""
        if job.samples is not None:
            return job.samples
        if job.lane is not Lane.LIVE:
            barrier = self._planner.started(job.key)
            if barrier is not None:
                return barrier.read(self._ring, job.start, job.stop)
        return self._ring.read(job.start, job.stop)

    def complete(self, job: Job, output: Any) -> None:
        """Take the engine's answer."""
        track = self._tracks_by_key.get(job.key)
        if track is not None:
            track.complete(job, output)
        else:
            self._planner.complete(job.key, output)

    @property
    def utterances(self) -> int:
        """Utterances that have begun."""
        return self._segmenter.count

    def bye(self) -> None:
        """Log the last event."""
        bye = Bye(
            samples=self.audio.frames,
            duration_ms=self.audio.clock.ms_of_frames(self.audio.frames),
            utterances=self.utterances,
            speech_ms=self._speech * 1000 // RATE_HZ,
            events=self._count,
        )
        self._emit(bye)

    def warn(self, code: str, message: str) -> None:
        """Log a warning."""
        self._emit(WarningEvent(code=code, message=message))

    def log(self, event: LogEvent) -> None:
        """Put an event behind all others."""
        self._emit(event)

    def close(self) -> None:
        """Let go of everything; it is not to be used any more.

        The parts call the session back: who holds it lets go of nothing without this until the
        garbage collector comes, which in a server it seldom does.
        """
        vars(self).clear()

    # Inside: speech.

    def _may_speak(self, stop: int) -> bool | None:
        """Whether somebody may have been speaking at a sample; None while the VAD is not as far."""
        if not self._is_gated:
            return True
        if self._vad.position + self._vad.stepper.step <= stop:
            return None
        rose = self._loudness.rose(stop)  # asked of every step
        return rose or self._activity.at(stop)

    def _decided(self, start: int, stop: int, probability: float) -> None:
        """Take one decision, or several that are the same.

        While nobody speaks, several frames are one to all that is told of them; in speech each
        counts by itself, as any may end it.
        """
        frame = self._vad.stepper.step
        if stop - start > frame and self._segmenter.open is not None:
            for begin in range(start, stop, frame):
                self._decided(begin, begin + frame, probability)
            return
        if self._vad.current_barrier is None:
            self._activity.frame(start, stop, probability)
        self._history.frame(start, stop, probability >= self._segmenter.config.off)
        for change in self._segmenter.frame(start, stop, probability):
            self._segment(change)
        self._planner.advance(self._segmenter.watermark, stop, self._vad.current_barrier)

    def _segment(self, change: Opened | Closed) -> None:
        utterance = change.utterance
        ms = self._services.ms
        if isinstance(change, Opened):
            self._history.opened(utterance)
            readers = [self._readers[name] for name in self._speech_modules.readers]
            self._planner.opened(utterance, readers)
            if self._speech_modules.vad is not None:
                utterance.reported = True
                t0, at = ms(utterance.start), ms(utterance.opened_at, end=True)
                self._emit(SpeechStart(t0=t0, t1=at, at=at, utterance=utterance.id))
        else:
            self._planner.closed(utterance, self._vad.current_barrier)

    def _utterance_done(self, utterance: Utterance) -> None:
        assert utterance.end is not None
        assert utterance.closed_at is not None
        assert utterance.cause is not None
        self._speech += utterance.speech
        ms = self._services.ms
        if utterance.reported:
            self._emit(
                SpeechEnd(
                    t0=ms(utterance.start),
                    t1=ms(utterance.end, end=True),
                    at=ms(utterance.closed_at, end=True),
                    utterance=utterance.id,
                    speech_ms=utterance.speech * 1000 // RATE_HZ,
                    cause=utterance.cause,
                )
            )

    def _detected(self, detection: Detection) -> None:
        current_barrier = self._wake.current_barrier
        self._wakes.detected(
            detection, None if current_barrier is None else current_barrier.payload
        )

    # Inside: places in the stream.

    def _barrier(self, cause: Cause, done: Callable[[], None]) -> None:
        tail = self.audio.tail()
        head = self._ring.head
        mark = Mark(head + len(tail), head, cause, tail, payload=self._new_barrier(done))
        self._mark(mark)

    def _new_barrier(self, done: Callable[[], None]) -> Barrier:
        def passed() -> None:
            self._barriers -= 1
            done()

        self._barriers += 1
        return Barrier(len(self._tracks), passed)

    def _mark(self, mark: Mark) -> None:
        for track in self._tracks:
            track.marks.append(mark)

    def _passed_vad(self, mark: Mark) -> None:
        if mark.cause is None:
            self._configure(mark.payload)
            return
        for change in self._segmenter.close_at(mark.place, mark.cause):
            self._segment(change)
        barrier: Barrier = mark.payload
        barrier.history = self._history.at_barrier(self._vad.position)
        if mark.resets:
            self._history.split()
        self._planner.barrier(mark.place, barrier.passed)

    def _passed_wake(self, mark: Mark) -> None:
        if mark.cause is None:
            self._listener.select(mark.payload.wake)
        else:
            self._wakes.reached(mark.payload)
            if mark.resets:
                self._loudness.restart()

    def _configure(self, modules: ModuleSet) -> None:
        self._speech_modules = modules
        self._segmenter.config = _segmenter_config(self._registry.vad.effective(modules.vad))
        self._open_readers(modules)
        self._make_room()

    def _make_room(self) -> None:
        """Hold as much as must be at hand before the oldest of it can be let go.

        While a pause may still be part of the utterance, the last window before it may still be
        asked for; while speech may still be too short to count, all of it. A wake word that slept
        goes back.
        """
        config = self._segmenter.config
        window = max((reader.spec.length for reader in self._readers.values()), default=0)
        held = window + max(config.hangover, config.min_speech)
        if self.modules.wake is not None:
            steps = WakeStepper.step * WakeStepper.at_once_asleep
            held = max(held, WakeStepper.reach + WakeStepper.context + steps)
        self._ring.grow(held + _RESERVE + _LEEWAY)

    def _open_readers(self, modules: ModuleSet) -> None:
        for name, options in modules.readers.items():
            previous = self._readers.get(name)
            self._readers[name] = self._registry.readers[name].open(
                options, self._services, previous
            )

    # Inside: the log.

    def _progress(self) -> None:
        """Let everything through that waits for nothing any more."""
        if self._planner.depth:
            self._planner.deliver()
        if self._wakes.depth:
            self._wakes.report()
        if self._vad.position < self._forgotten + RATE_HZ:
            return
        oldest = min(track.position for track in self._tracks)
        if oldest >= self._forgotten + RATE_HZ:
            self._forgotten = oldest
            self._forget(oldest)

    def _forget(self, oldest: int) -> None:
        """Drop what no wake event to come can ask for."""
        if (waiting := self._wakes.oldest) is not None:
            oldest = min(oldest, waiting)
        self._activity.forget_before(oldest)
        oldest = max(oldest - EVIDENCE_AGE - _LEEWAY, 0)
        self._history.forget_before(oldest, self._services.ms(oldest))

    def _end(self) -> None:
        self._ended = True

    def _emit_all(self, events: Iterable[TimedEvent]) -> None:
        for event in events:
            if isinstance(event, Speaker):
                self._history.decided(event)
            self._emit(event)

    def _emit(self, event: LogEvent) -> None:
        self._count += 1
        self._events.append(event)

    def _warn_of_input(self) -> None:
        if (name := self.audio.looks_like) and "looks_like" not in self._warned:
            self._warned.add("looks_like")
            self.warn(
                f"looks_like_{name}",
                f"the audio begins with {DESCRIPTIONS[name]}: send samples only "
                "(its bytes count as audio)",
            )
        if self.audio.channels_cancel and "channels_cancel" not in self._warned:
            self._warned.add("channels_cancel")
            self.warn(
                "channels_cancel",
                "the channels cancel each other when mixed (one has its polarity reversed): "
                "choose one with audio.use, as [0]",
            )
        if self.audio.non_finite and "non_finite" not in self._warned:
            self._warned.add("non_finite")
            self.warn("non_finite", "some samples are not finite numbers; they count as 0")


def _segmenter_config(settings: VadSettings) -> SegmenterConfig:
    def samples(ms: int) -> int:
        return ms * RATE_HZ // 1000

    return SegmenterConfig(
        on=settings.on,
        off=settings.off,
        min_speech=samples(settings.min_speech_ms),
        hangover=samples(settings.hangover_ms),
        pre_roll=samples(settings.pre_roll_ms),
        max_length=samples(settings.max_utterance_ms),
    )
