"""The session of one stream: audio and answers in, jobs and events out; no socket, thread or clock.

Every position counts samples at 16 kHz on one timeline. So the events depend on the audio alone,
and not on how it was divided into messages, how fast it came, or when the engine answered.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from streamd.audio.ring import Ring
from streamd.audio.source import AudioIn
from streamd.errors import Refusal
from streamd.events import Bye, Cause, Flushed, Gap, GapCause, LogEvent, Quality
from streamd.modules.base import ReaderContext
from streamd.modules.gallery import Gallery
from streamd.modules.kept_voices import VOICE_BYTES
from streamd.modules.registry import ModuleSet, Registry
from streamd.modules.speaker import SpeakerModule
from streamd.modules.vad import VadStepper
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.session.activity import Activity
from streamd.session.barrier import Barriers
from streamd.session.chains import MAX_BEHIND, Chains
from streamd.session.degradation import Degradation
from streamd.session.emitter import Emitter
from streamd.session.enrolments import Enrolments, EnrolRequest, PendingEnrolment
from streamd.session.front_end import FrontEnd
from streamd.session.history import History
from streamd.session.input_warnings import InputWarnings
from streamd.session.margins import LEEWAY, RESERVE
from streamd.session.path import Path
from streamd.session.planner import Planner
from streamd.session.reports import EVIDENCE_AGE, Reports
from streamd.session.shared import Shared
from streamd.session.speech import Speech
from streamd.session.track import Mark, Progress, Track
from streamd.session.utterances import Utterances
from streamd.types import RATE_HZ, STATELESS, AudioFormat, Job, Lane, Samples, Slots

MAX_MARKS = 64
"""Control messages that may wait for the audio before them, and enrolments for the store."""
MAX_BACKLOG = 2 * RATE_HZ
"""Samples that VAD and wake words may leave unprocessed. Beyond that the session takes no audio, so
that a fast sender waits at its own socket, and a slow machine slows its senders."""
_CLOCK_MEMORY = 10 * RATE_HZ
"""Samples before the ring whose time may still be asked: a phrase and the speaker event before."""
_NOTHING: Samples = np.zeros(0, np.int16)


class Session:
    """Processes the audio of one stream.

    Feed it with `receive_*`, in the order of the bytes. After each of these, and after each
    `complete`, take `jobs()` to the engine and `events()` to the client.

    No part refers to the session or to the part that owns it. So the memory of a session is freed
    with the last reference to it, without the garbage collector.
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
        audio, lacking = registry.front_ends.in_force(audio)
        self.audio = AudioIn(audio)
        self.modules = modules
        """The modules that are on after every `config` so far."""
        self._registry = registry
        self._words = words
        self._ring = self._voices = Ring(ring_s * RATE_HZ)
        if self.audio.front_end.suppresses:
            self._voices = Ring(ring_s * RATE_HZ)
        gains = self.audio.front_end.cleans_voices
        self._heard = self._ring if gains else self._voices
        """The audio that readers of windows hear."""
        self._read_heard = Mark.read if gains else Mark.read_voices
        ms = self.audio.clock.ms
        self._context = ReaderContext(ms, gallery, audio.channel_kind)
        self._emitter = Emitter()
        for what in lacking:
            self._emitter.warn("enhance_unavailable", what)
        self._input_warnings = InputWarnings(self.audio, self._emitter)
        parts = [len(module.parts) for module in registry.steppers.values()]
        self._barriers = Barriers(1 + sum(parts))
        self._spare = 0
        """Value of `room` when it was last computed, less what came since; the real one is never
        smaller."""
        self._forgotten = 0
        """Positions of the tracks when what lies before them was last dropped."""

        settings, grid = registry.vad.effective(modules.get(registry.vad.name)), registry.vad.grid
        self._history = History(grid.frame)
        self._utterances = Utterances(self._history, ms, self._emitter)
        keys = itertools.count()
        """Numbers for the jobs. The tracks and the planner keep what each job is for."""
        self.degradation = Degradation()
        """What the session does without, under load."""
        useless: list[int] = []
        self.chains = Chains(
            self._voices,
            self._utterances.report,
            self._utterances.ended,
            self._utterances.skipped,
            keys,
            useless,
        )
        """The jobs of stateful readers, which shed by themselves."""
        self._planner = Planner(
            self._utterances.report,
            self.chains.ended,
            registry.speculative,
            keys,
            self.degradation,
            self._utterances.skipped,
            useless,
        )
        speaker = registry.find(SpeakerModule)
        self._enrolments = Enrolments(self._context, speaker, self._emitter)
        shared = Shared(
            self._ring,
            self._voices,
            ms,
            self._emitter,
            Progress(),
            self._history,
            self._planner,
            self.chains,
        )
        self._paths: list[Path] = []
        self._reports: list[Reports] = []
        for name, module in registry.steppers.items():
            reports = Reports(shared)
            self._reports.append(reports)
            for part in module.parts:
                self._paths.append(Path(name, part, modules.get(name), reports, shared))
        gates = [path.gate for path in self._paths if path.gate is not None]
        # `is_idle` needs an activity even where no stepper has a gate.
        self._activities = [gate.activity for gate in gates] or [Activity()]
        self.useless = self._planner.useless
        """The keys that the next call of `withdrawn` returns."""
        self._speech = Speech(
            registry,
            modules,
            self._context,
            shared,
            self._activities,
            self._utterances,
            self._enrolments,
        )
        vad = VadStepper(settings, grid, self._speech.decided)
        self._vad = shared.vad
        vad_track = Track(
            next(keys),
            vad,
            self._voices,
            slots[vad.pass_name],
            self._speech.passed,
            grid.copies_state,
            self._vad,
            of_voices=True,
        )
        self._tracks = [vad_track]
        for path in self._paths:
            own = slots.get(path.stepper.pass_name, STATELESS)
            track = Track(
                next(keys), path.stepper, self._ring, own, path.passed, progress=path.progress
            )
            self._tracks.append(track)
        self._tracks_by_key = {track.key: track for track in self._tracks}
        self._front_end = None
        kind = self.audio.front_end
        if kind.parts:
            own = slots.get(kind.pass_name, STATELESS)
            self._front_end = FrontEnd(next(keys), kind, self._ring, self._voices, own)

    # Input.

    @property
    def room(self) -> int:
        """Return how many bytes of audio can be taken now; 0 until the engine has caught up."""
        low = min(track.low for track in self._tracks)
        watermark = self._speech.segmenter.watermark
        low = min(low, self._planner.low(watermark), self._speech.low(watermark))
        head = self.audio.position  # of the ring too, once a front end has caught up
        free = self._ring.capacity - RESERVE - (head - low)
        if (due := self.chains.due_at) is not None:
            # With a long ring, text may be that late before it is left out.
            free = min(free, max(MAX_BEHIND, self._ring.capacity) - (head - due))
        heard = min(track.position for track in self._tracks)
        free = min(free, MAX_BACKLOG - (head - heard))
        return self.audio.bytes_for(max(free, 0))

    def spare(self, wanted: int) -> int:
        """Return how many bytes can surely be taken; compute `room` only if `wanted` is more."""
        if self._spare < wanted:
            self._spare = self.room
        return self._spare

    @property
    def ring_bytes(self) -> int:
        """Memory of the audio that is kept, and of what decodes it and makes it clean."""
        samples = self._ring.capacity
        if self._voices is not self._ring:
            samples += self._voices.capacity
        if self._front_end is not None:
            samples += self._front_end.ring_samples
        return samples * 2 + self.chains.held_bytes + self.audio.state_bytes

    @property
    def voices_bytes(self) -> int:
        """Memory of the voices that are kept for an enrolment, roughly."""
        return len(self._context.voices) * VOICE_BYTES

    @property
    def can_mark(self) -> bool:
        """Return whether another control message can be taken now."""
        marks = max(len(track.marks) for track in self._tracks)
        if self._front_end is not None:
            marks += self._front_end.waiting
        return max(marks, self._barriers.pending, self._enrolments.unanswered) < MAX_MARKS

    def receive_audio(self, data: bytes | memoryview) -> int:
        """Take as much audio as there is room for.

        Returns:
            Bytes taken.
        """
        size = len(data)
        if size > self._spare and size > self.spare(size):
            size = self._spare
            data = data[:size]
        self._spare -= size
        self._write(self.audio.push(data))
        if self.audio.is_suspect:
            self._input_warnings.look()
        return size

    def receive_packet(self, packet: bytes, frames: int) -> bool:
        """Take an Opus packet; there must be room for it (`spare`) and for a mark (`can_mark`).

        One that cannot be decoded is a gap of its length.

        Args:
            packet: Not empty.
            frames: Its length in sample frames, from `packet_frames`.

        Returns:
            Whether it could be decoded.
        """
        self._spare -= frames * self.audio.fmt.frame_bytes
        t0 = self.audio.now_ms
        samples = self.audio.push_packet(packet, frames)
        if samples is not None:
            self._write(samples)
        else:
            self._input_warnings.damaged(t0, frames)
            self._break(self.audio.lose(frames), t0, "client")
        if self.audio.is_suspect:
            self._input_warnings.look()
        return samples is not None

    def receive_no_packet(self, data: bytes, why: str) -> None:
        """Warn that a message is no packet."""
        self.audio.examine(data)
        self._input_warnings.look()
        self._input_warnings.no_packet(why)

    def receive_gap(self, ms: int = 0, frames: int = 0, cause: GapCause = "client") -> None:
        """Take note that the client lost audio here.

        Args:
            ms: Milliseconds that were lost.
            frames: The same in sample frames at the input rate, where it is known exactly.
            cause: Why they were lost.
        """
        t0 = self.audio.now_ms
        self._break(self.audio.gap(ms, frames), t0, cause)

    def receive_flush(self, flush_id: str) -> None:
        """End the open utterance here and report everything so far, then `flushed`."""
        self._barrier("flush", partial(self._emitter.emit, Flushed(id=flush_id)))

    def receive_config(self, request: Mapping[str, Any]) -> None:
        """Change modules from here on.

        Raises:
            BadConfig: a wrong type or a value out of range; nothing changes.
        """
        modules, warnings = self._registry.resolve(request, self.modules, self._words())
        self.modules = modules
        for code, message in warnings:
            self.warn(code, message)
        self._mark(self._change(modules), self._tracks)

    def receive_enrol(self, request: EnrolRequest) -> None:
        """Enrol the voice of utterances that are over here, or refuse to.

        Once `take_enrolment` returns it, either `enrolled` or `not_enrolled` must follow.
        """
        self._enrolments.unanswered += 1
        # Only the VAD decides which utterances are over.
        self._mark(self._change(request), self._tracks[:1])

    def receive_end(self) -> None:
        """Take note of the last sample; `ended` becomes true after the last final event."""
        self._input_warnings.end()
        self._barrier("end", self._emitter.end)

    # Output.

    def awaited(self) -> tuple[int | None, int | None]:
        """Return how far the oldest audio goes whose answers are awaited.

        Returns:
            The sample up to which voice activity and wake words wait, and that for windows of
            speech; each is None if nothing is awaited.
        """
        steps = [track.awaited for track in self._tracks]
        if self._front_end is not None:
            steps.append(self._front_end.awaited)
        live = [stop for stop in steps if stop is not None]
        return min(live, default=None), self._planner.computed_at

    @property
    def is_idle(self) -> bool:
        """Return whether nobody has spoken for a while and nothing waits: audio is not urgent."""
        if self._speech.segmenter.open is not None or self._planner.queue:
            return False
        if self._front_end is not None and self._front_end.awaited is not None:
            return False
        for path in self._paths:
            if not path.may_rest:
                return False
        for reports in self._reports:
            if not reports.is_empty:
                return False
        position = self._vad.position
        for activity in self._activities:  # noqa: SIM110 (asked at every tick)
            if not activity.is_over(position):
                return False
        return True

    @property
    def ended(self) -> bool:
        """Return whether the events include everything that the end caused."""
        return self._emitter.has_ended

    @property
    def learned(self) -> Mapping[str, bytes]:
        """Return the new baseline of each enrolled voice that spoke, once the session is over."""
        return self._context.speakers.learned

    def events(self) -> list[LogEvent]:
        """Return the events since the last call, in order."""
        return self._emitter.take() if self._emitter.events else []

    def jobs(self) -> list[Job]:
        """Return the jobs since the last call."""
        # In this order: a stepper with a gate may advance once the VAD has.
        jobs = []
        if self._front_end is not None and (job := self._front_end.advance()) is not None:
            jobs.append(job)
        for track in self._tracks:
            if (job := track.advance()) is not None:
                jobs.append(job)  # noqa: PERF401 (at every tick, the frame of one would count)
        self._progress()
        if self._planner.is_waiting:
            jobs.extend(self._planner.jobs())
        if self.chains.is_waiting:
            jobs.extend(self.chains.jobs())
        return jobs

    def withdrawn(self) -> list[int]:
        """Return the keys of the jobs that became useless since the last call."""
        return self._planner.withdrawn()

    def cut(self, job: Job) -> Samples:
        """Return the samples of a job, when it is put into a batch."""
        if job.samples is not None:
            self.chains.started(job.key)
            return job.samples
        if job.lane is not Lane.LIVE:
            barrier = self._planner.started(job.key)
            if barrier is not None:
                return self._read_heard(barrier, self._heard, job.start, job.stop)
            return self._heard.read(job.start, job.stop)
        return self._tracks_by_key[job.key].ring.read(job.start, job.stop)

    def complete(self, job: Job, output: Any) -> None:
        """Take the engine's answer to a job."""
        track = self._tracks_by_key.get(job.key)
        if track is not None:
            track.complete(job, output)
        elif self._front_end is not None and job.key == self._front_end.key:
            self._front_end.complete(job, output)
        elif not self.chains.complete(job.key, output):
            self._planner.complete(job.key, output)

    @property
    def utterances(self) -> int:
        """Return the number of utterances that have begun."""
        return self._speech.segmenter.count

    # Enrolments.

    def take_enrolment(self) -> PendingEnrolment | None:
        """Return the enrolment that is to be stored now, once; None if there is none."""
        return self._enrolments.take()

    def enrolled(self, enrolments: int, quality: Quality) -> None:
        """Take note that the enrolment is stored, and that the gallery has it.

        Args:
            enrolments: Enrolments that the voice has now.
            quality: The verdict on this one.
        """
        self._planner.is_held_up = False
        done = self._enrolments.stored(enrolments, quality)
        self._speech.enrolled(done.request.speaker, done.sample.label)

    def not_enrolled(self, error: Refusal) -> None:
        """Take note that the enrolment cannot be stored, and tell the client why."""
        self._planner.is_held_up = False
        self._enrolments.failed(error)

    def is_enrolling_late(self) -> None:
        """Have wake words not wait for the store any longer, because it takes its time.

        They name the speaker that is known by then.
        """
        self._planner.is_held_up = True

    # What it does without, under load.

    def speculate(self, on: bool) -> None:
        """Begin windows before they are asked for, or not. No event depends on it."""
        self.degradation.speculates = on
        if not on:
            self._planner.stop_speculating()

    def coalesce(self, on: bool) -> None:
        """Leave out interim events where a newer window waits already, or not.

        While it is on, no event waits for what the readers still have to decide.
        """
        self.degradation.coalesces = on

    def lengthen_hops(self, factor: int) -> None:
        """Make the hops of windows that end behind this place so many times as long."""
        self.degradation.lengthen(self._ring.head, factor)

    @property
    def hops_ms(self) -> dict[str, int]:
        """From one window to the next, from here on, by module."""
        factor = self.degradation.hop_factor
        hops = self._speech.hops()
        return {name: hop * factor * 1000 // RATE_HZ for name, hop in hops.items()}

    @property
    def stateful_hops_ms(self) -> dict[str, int]:
        """From one job to the next, from here on, by module with a state along an utterance."""
        factor = self.chains.degradation.hop_factor
        hops = self._speech.stateful_hops()
        return {name: hop * factor * 1000 // RATE_HZ for name, hop in hops.items()}

    def lengthen_stateful_hops(self, factor: int) -> None:
        """Make these hops so many times as long behind this place."""
        self.chains.degradation.lengthen(self._ring.head, factor)

    def skip(self, place: int) -> None:
        """Leave out the windows that depend on nothing behind a place, unless a batch has them.

        Each module's loss is named by a `gap` of cause `overload`.
        """
        self._planner.skip(place)

    def bye(self) -> None:
        """Append `bye`, the last event."""
        bye = Bye(
            samples=self.audio.frames,
            duration_ms=self.audio.clock.ms_of_frames(self.audio.frames),
            utterances=self.utterances,
            speech_ms=self._utterances.speech * 1000 // RATE_HZ,
            events=self._emitter.count,
        )
        self._emitter.emit(bye)

    def warn(self, code: str, message: str) -> None:
        """Append a warning."""
        self._emitter.warn(code, message)

    def log(self, event: LogEvent) -> None:
        """Append an event."""
        self._emitter.emit(event)

    # Inside.

    def _break(self, last: Samples, t0: int, cause: GapCause) -> None:
        """Have no module see across this place.

        Args:
            last: The last samples before it.
            t0: Their end, ms. The clock has the end of the gap.
            cause: Why there is a gap.
        """
        self._spare = 0
        self._write(last)
        t1 = self.audio.now_ms
        # No utterance spans a gap, so nothing needs samples from the other side of a long one.
        self.audio.clock.forget_before(self._ring.head - self._ring.capacity - _CLOCK_MEMORY)
        place = self.audio.position
        gap = Gap(t0=t0, t1=t1, at=t1, cause=cause)
        barrier = self._barriers.begin(partial(self._emitter.emit, gap))
        mark = Mark(place, place, "gap", _NOTHING, resets=True, payload=barrier)
        self._mark(mark, self._tracks, last[:0])

    def _barrier(self, cause: Cause, done: Callable[[], None]) -> None:
        tail, head = self.audio.tail(), self.audio.position
        near = tail[:, 0] if tail.ndim > 1 else tail
        mark = Mark(head + len(tail), head, cause, near, payload=self._barriers.begin(done))
        self._mark(mark, self._tracks, tail)

    def _change(self, payload: Any) -> Mark:
        return Mark(self.audio.mark(), self.audio.position, payload=payload)

    def _mark(self, mark: Mark, tracks: Sequence[Track], tail: Samples | None = None) -> None:
        """Put a mark on tracks when the audio before it is there.

        Args:
            mark: Its place in what came in.
            tracks: Those that it is for.
            tail: What the resampler holds, where the mark ends an utterance.
        """
        if self._front_end is not None:
            self._front_end.at_place(mark, tracks, tail)
            return
        for track in tracks:
            track.marks.append(mark)

    def _write(self, samples: Samples) -> None:
        if self._front_end is None:
            self._ring.write(samples)
        else:
            self._front_end.write(samples)

    def _progress(self) -> None:
        """Send and deliver everything that need not wait any more."""
        if self._planner.queue:
            self._planner.deliver()
        for reports in self._reports:
            if not reports.is_empty:
                reports.send()
        if self._vad.position < self._forgotten + RATE_HZ:
            return
        oldest = min(track.position for track in self._tracks)
        if oldest >= self._forgotten + RATE_HZ:
            self._forgotten = oldest
            self._forget(oldest)

    def _forget(self, oldest: int) -> None:
        """Drop what no later event needs."""
        for reports in self._reports:
            if (waiting := reports.oldest) is not None:
                oldest = min(oldest, waiting)
        for activity in self._activities:
            activity.forget_before(oldest)
        oldest = max(oldest - EVIDENCE_AGE - LEEWAY, 0)
        self._history.forget_before(oldest, self.audio.clock.ms(oldest))
