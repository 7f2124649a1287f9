"""Speaker identification: enrolled voices by name, all other speakers by a label of the session.

The evidence is the mean of the embeddings of an utterance's windows (a single pass over more than
1.6 s is less accurate: Wan et al., "Generalized End-to-End Loss for Speaker Verification", 2018).
Where a main model decides, it hears windows that do not overlap, and no more of them than the
decision needs; the model of every window answers before that, and suspects changes of speaker.
Labels come from online clustering in the order of the stream, so their numbers follow it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streamd.events import Speaker, SpeakerChange, TimedEvent
from streamd.modules.base import ReaderContext, Utterance, Window, WindowSpec
from streamd.modules.changes import CHANGE_WINDOWS, ChangeWatch, Likeness, UnlikeWindow
from streamd.modules.decision import (
    TOO_SHORT,
    Evidence,
    LabelBand,
    SpeakerDecision,
    decide,
    is_open,
)
from streamd.modules.kept_voices import KeptVoice
from streamd.modules.known_voices import KnownVoices
from streamd.modules.labelling import Labelling
from streamd.modules.labels import Labels
from streamd.modules.spending import Spending
from streamd.modules.turn import Turn
from streamd.modules.voice_models import VoiceModels
from streamd.settings import Band, SpeakerSettings
from streamd.types import RATE_HZ, Floats

MIN_WINDOW_MS = 400
MAIN_PASS = "voiceprint"
MAIN_WINDOW, MAIN_HOP = 25_600, 6_400
"""Samples of a window of the main model, and between the places where one may begin. Four of these
make a window, so that windows can follow each other without a gap."""


class SpeakerReader:
    """Identifies the speakers of one session."""

    name = "speaker"
    extras = frozenset[str]()
    optional = None

    def __init__(
        self,
        settings: SpeakerSettings,
        context: ReaderContext,
        previous: SpeakerReader | None,
        models: VoiceModels,
        *,
        is_calibrated: bool = True,
    ) -> None:
        minimum = MIN_WINDOW_MS * RATE_HZ // 1000
        self.spec = WindowSpec(
            pass_name="voice",
            length=settings.window_ms * RATE_HZ // 1000,
            hop=settings.hop_ms * RATE_HZ // 1000,
            minimum=minimum,
        )
        self.optional = (
            WindowSpec(MAIN_PASS, MAIN_WINDOW, MAIN_HOP, minimum) if models.main else None
        )
        self._settings = settings
        self._context = context
        self._models = models
        self._is_calibrated = is_calibrated
        """Whether the calibrated thresholds of the gallery go before those of the settings."""
        self._label_band = LabelBand(models.assign, models.new)
        # The same object, so that utterances that still run under the old options found labels too.
        self._labels: Labels = (
            Labels(settings.max_labels, models.scale, context.channel)
            if previous is None
            else previous._labels
        )
        self._labelling = Labelling(self._labels, models, settings.label_min_ms)
        self._known = KnownVoices(self._labels, models, context)
        self._band = self._bounds()
        self._turn = Turn(0)
        names = set[str]() if previous is None else previous._changes.names
        self._changes: ChangeWatch = ChangeWatch(models, self._likeness, names)
        self._name: str | None = None
        """The speaker of the last decision."""
        self._spending = Spending()
        self._is_open = True
        """Whether it is open who speaks."""
        self._at = 0
        """The last sample that anything so far depended on."""
        self._is_one = True
        """Whether nobody else took over in this utterance."""

    def opened(self, utterance: Utterance) -> None:
        """Begin a turn, with the gallery as it is now."""
        self._known.begin()
        self._band = self._bounds()
        self._labels.begin()
        self._context.speakers.begin()
        self._begin(Turn(utterance.onset), utterance.onset)
        self._is_one = True

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Add a window to the evidence, or count it against the current speaker."""
        self._at = window.at
        embedding: Floats = output.embedding
        heard, changes = self._turn.by(self._models.windows), self._changes
        bound = changes.bound if self._models.main else self._settings.change
        if (cosine := heard.cosine(embedding)) < bound:
            changes.suspects.append(UnlikeWindow(window, embedding, cosine))
            if not self._models.main and len(changes.suspects) == CHANGE_WINDOWS:
                yield from self._change(utterance, changes.suspects)
        else:
            changes.suspects = []
            heard.add(embedding, window.start, window.stop)
        # After the last window, the final event follows at once and says the same.
        if not window.is_last:
            yield self._event(utterance, window.stop, window.at, final=False)

    def wants(self, utterance: Utterance, window: Window) -> bool:
        """Return whether the main model is to hear a window."""
        self._at = window.at
        seconds = utterance.voiced(self._turn.start, window.stop) / RATE_HZ
        is_due = self._spending.wants(window, is_open=self._is_open)
        return self._changes.wants(seconds) or is_due

    def take(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Add a window of the main model to the evidence, or count it against the speaker."""
        embedding: Floats = output.embedding
        heard, changes = self._turn.by(self._models.main), self._changes
        if not heard.windows:
            heard.add(embedding, window.start, window.stop)
        elif changes.take(window, embedding):
            self._trust_suspects()
            # Windows that looked for a change overlap.
            if window.start >= heard.stop or window.is_last:
                heard.add(embedding, window.start, window.stop)
        elif changes.has_changed:
            yield from self._change(utterance, changes.unlike)

    def closed(self, utterance: Utterance) -> Iterable[TimedEvent]:
        """Yield the final event on the utterance, or on its last turn if the speaker changed."""
        assert utterance.end is not None
        assert utterance.closed_at is not None
        if self._changes.has_changed_at_the_end:
            yield from self._change(utterance, self._changes.unlike)
        event = self._event(utterance, utterance.end, utterance.closed_at, final=True)
        self._keep(utterance, utterance.end, event)
        yield event

    def enrolled(self, name: str, label: str | None) -> None:
        """Give a label to nobody any more, because its voice has a name."""
        if label is not None:
            self._labels.retire(label)

    def _bounds(self) -> Band:
        """Return the bounds of the utterance's decisions, by its gallery."""
        thresholds = self._settings.thresholds
        if self._is_calibrated:
            thresholds = thresholds.calibrated(self._known.accept)
        return thresholds.of(self._context.channel)

    def _keep(self, utterance: Utterance, end: int, event: Speaker) -> None:
        """Keep the voice of an utterance, of its last turn if there are several of one speaker."""
        turn = self._turn
        is_label = event.decision == "reject" and event.speaker is not None
        self._context.voices.keep(
            utterance.id,
            KeptVoice(
                heard={model: one for model, one in turn.heard.items() if one.windows},
                speech=utterance.voiced(turn.start, end),
                name=event.speaker if is_label or event.decision == "accept" else None,
                is_label=is_label,
                is_one=self._is_one,
                levels=utterance.levels,
            ),
        )

    def _begin(self, turn: Turn, stop: int, windows: int = 0) -> None:
        """Begin a turn, of which the main model has heard so many windows up to a sample."""
        self._turn = turn
        self._changes.begin()
        self._is_open, self._name = True, None
        self._spending.begin(stop, windows)

    def _trust_suspects(self) -> None:
        """Count the suspects for the current speaker, who sounds otherwise to one model alone."""
        heard = self._turn.by(self._models.windows)
        for window, embedding, _ in self._changes.suspects:
            heard.add(embedding, window.start, window.stop)
        self._changes.suspects = []

    def _likeness(self, embedding: Floats) -> Likeness:
        return self._known.likeness(embedding, self._turn, self._name, self._band.accept)

    def _change(self, utterance: Utterance, against: list[UnlikeWindow]) -> Iterable[SpeakerChange]:
        """Begin a turn of another speaker, with the windows that are against the current one."""
        changes, last = self._changes, against[-1].window
        boundary = max(changes.boundary, self._turn.start)
        before = self._decide(utterance.voiced(self._turn.start, boundary), is_over=True)
        turn = Turn(boundary)
        for window, embedding, _ in against:
            turn.by(self._models.deciding).add(embedding, window.start, window.stop)
        if self._models.main:
            for window, embedding, _ in changes.suspects:
                turn.by(self._models.windows).add(embedding, window.start, window.stop)
        self._begin(turn, last.stop, 1)
        # A takeover is evidence enough: a new speaker gets a label from here on.
        after = self._decide(utterance.voiced(boundary, last.stop), took_over=True)
        if before.speaker == after.speaker:
            return  # the windows differ from those before, but the same name is still the nearest
        self._is_one = False
        speakers = self._context.speakers
        speakers.update(before.speaker, is_sure=before.decision != "unsure", nearest=before.nearest)
        speakers.take_over(boundary)
        ms = self._context.ms
        yield SpeakerChange(
            t0=ms(boundary),
            t1=ms(last.stop, end=True),
            at=ms(max(last.at, self._at), end=True),
            utterance=utterance.id,
            from_=before.speaker,
            to=None if after.decision == "unsure" else after.speaker,
        )

    def _event(self, utterance: Utterance, stop: int, at: int, *, final: bool) -> Speaker:
        speech = utterance.voiced(self._turn.start, stop)
        found = self._decide(speech, is_over=final)
        self._context.speakers.update(
            found.speaker, is_sure=found.decision != "unsure", nearest=found.nearest
        )
        ms = self._context.ms
        return Speaker(
            t0=ms(self._turn.start),
            t1=ms(stop, end=True),
            at=ms(at, end=True),
            utterance=utterance.id,
            decision=found.decision,
            speaker=found.speaker,
            score=round(found.score, 4),
            margin=None if found.margin is None else round(found.margin, 4),
            speech_ms=speech * 1000 // RATE_HZ,
            final=final,
        )

    def _decide(
        self, speech: int, *, is_over: bool = False, took_over: bool = False
    ) -> SpeakerDecision:
        """Decide on the turn so far, and update its label.

        Args:
            speech: Samples of speech in the turn.
            is_over: Whether the turn is over.
            took_over: Whether it just began, in the middle of an utterance.
        """
        s, turn, labels = self._settings, self._turn, self._labels
        speech_ms = speech * 1000 // RATE_HZ
        heard = turn.by(self._models.deciding)
        if not any(one.windows for one in turn.heard.values()) or speech_ms < s.min_speech_ms:
            return TOO_SHORT
        known = labels.search(heard.mean, besides=turn.founded) if heard.windows else []
        enrolled = self._known.enrolled(turn, speech)
        evidence = Evidence(
            enrolled=enrolled,
            labels=known,
            own=turn.founded,
            coherence=heard.coherence if heard.windows else 0.0,
            may_found=self._labelling.may_found(
                heard, speech_ms, known, enrolled, is_over=is_over, took_over=took_over
            ),
            next_label=labels.next_name,
            lead=self._models.lead,
            may_join=bool(self._models.main) and is_over,
        )
        found = decide(evidence, self._band, self._label_band)
        self._labelling.learn(found, turn, heard, speech, is_over=is_over)
        self._name = found.speaker
        if found.speaker is not None and found.decision != "unsure" and found.label != "joined":
            self._changes.spoke(found.speaker)
        self._is_open = is_open(found, evidence, self._band, self._label_band)
        return found
