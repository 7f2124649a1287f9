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
from streamd.modules.decision import (
    NEAREST,
    TOO_SHORT,
    Evidence,
    LabelBand,
    SpeakerDecision,
    decide,
    is_open,
)
from streamd.modules.gallery import Gallery, Match, Spoken
from streamd.modules.kept_voices import KeptVoice
from streamd.modules.labels import Labels
from streamd.modules.spending import Spending
from streamd.modules.turn import Turn
from streamd.modules.voice_models import VoiceModels
from streamd.settings import SpeakerSettings
from streamd.types import RATE_HZ, Floats

CHANGE_WINDOWS = 2
"""Windows in a row that must differ from the current speaker before another one has taken over, or
be like the current one before nobody has."""
MIN_WINDOW_MS = 400
SURE_MS = 3000
"""Milliseconds of speech after which a new speaker gets a label before the utterance ends."""
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
        self._band = settings.thresholds.of(context.channel)
        self._label_band = LabelBand(models.assign, models.new)
        # The same object, so that utterances that still run under the old options found labels too.
        self._labels: Labels = (
            Labels(settings.max_labels, models.scale, context.channel)
            if previous is None
            else previous._labels
        )
        self._gallery = context.gallery()
        self._turn = Turn(0)
        self._suspects: list[tuple[Window, Floats]] = []
        """Windows in a row that are unlike the current speaker, by the model of every window."""
        self._unlike: list[tuple[Window, Floats]] = []
        """The same by the main model."""
        self._alike = 0
        """Windows in a row that are like the current speaker although there are suspects."""
        self._spending = Spending()
        self._is_open = True
        """Whether it is open who speaks."""
        self._at = 0
        """The last sample that anything so far depended on."""
        self._is_one = True
        """Whether nobody else took over in this utterance."""

    def opened(self, utterance: Utterance) -> None:
        """Begin a turn, with the gallery as it is now."""
        self._gallery = self._context.gallery()
        self._labels.begin()
        self._context.speakers.begin()
        self._begin(Turn(utterance.onset), utterance.onset)
        self._is_one = True

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Add a window to the evidence, or count it against the current speaker."""
        self._at = window.at
        embedding: Floats = output.embedding
        models, heard = self._models, self._turn.by(self._models.windows)
        if heard.is_unlike(embedding, self._settings.change):
            self._suspects.append((window, embedding))
            if not models.main and len(self._suspects) == CHANGE_WINDOWS:
                yield from self._change(utterance, self._suspects)
        else:
            self._suspects = []
            heard.add(embedding, window.start, window.stop)
        # After the last window, the final event follows at once and says the same.
        if not window.is_last:
            yield self._event(utterance, window.stop, window.at, final=False)

    def wants(self, utterance: Utterance, window: Window) -> bool:
        """Return whether the main model is to hear a window."""
        self._at = window.at
        return self._spending.wants(
            window, is_open=self._is_open, is_suspected=bool(self._suspects or self._unlike)
        )

    def take(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Add a window of the main model to the evidence, or count it against the speaker."""
        embedding: Floats = output.embedding
        heard = self._turn.by(self._models.main)
        if heard.is_unlike(embedding, self._models.change):
            self._alike = 0
            self._unlike.append((window, embedding))
            if len(self._unlike) == CHANGE_WINDOWS:
                yield from self._change(utterance, self._unlike)
            return
        self._unlike = []
        self._alike += bool(self._suspects)
        if self._alike == CHANGE_WINDOWS:
            self._trust_suspects()
        # Windows that looked for a change overlap.
        if window.start >= heard.stop or window.is_last or not heard.windows:
            heard.add(embedding, window.start, window.stop)

    def closed(self, utterance: Utterance) -> Iterable[TimedEvent]:
        """Yield the final event on the utterance, or on its last turn if the speaker changed."""
        assert utterance.end is not None
        assert utterance.closed_at is not None
        event = self._event(utterance, utterance.end, utterance.closed_at, final=True)
        self._keep(utterance, utterance.end, event)
        yield event

    def enrolled(self, name: str, label: str | None) -> None:
        """Give a label to nobody any more, because its voice has a name."""
        if label is not None:
            self._labels.retire(label)

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
        self._suspects, self._unlike, self._alike = [], [], 0
        self._is_open = True
        self._spending.begin(stop, windows)

    def _trust_suspects(self) -> None:
        """Count the suspects for the current speaker, who has changed the voice, it seems."""
        heard = self._turn.by(self._models.windows)
        for window, embedding in self._suspects:
            heard.add(embedding, window.start, window.stop)
        self._suspects, self._alike = [], 0

    def _change(
        self, utterance: Utterance, against: list[tuple[Window, Floats]]
    ) -> Iterable[SpeakerChange]:
        """Begin a turn of another speaker, with the windows that are against the current one."""
        first, last = against[0][0], against[-1][0]
        boundary = (first.start + first.stop) // 2
        before = self._decide(utterance.voiced(self._turn.start, boundary), is_over=True)
        turn, suspects = Turn(boundary), self._suspects
        for window, embedding in against:
            turn.by(self._models.deciding).add(embedding, window.start, window.stop)
        if self._models.main:
            for window, embedding in suspects:
                turn.by(self._models.windows).add(embedding, window.start, window.stop)
        self._begin(turn, last.stop, 1)
        # A takeover is evidence enough: a new speaker gets a label from here on.
        after = self._decide(utterance.voiced(boundary, last.stop), found_from_ms=0)
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
        self, speech: int, *, is_over: bool = False, found_from_ms: int | None = None
    ) -> SpeakerDecision:
        """Decide on the turn so far, and update its label.

        Args:
            speech: Samples of speech in the turn.
            is_over: Whether the turn is over.
            found_from_ms: Milliseconds of speech after which a new speaker gets a label before the
                turn is over; None decides by how far all others are.
        """
        s, turn, labels = self._settings, self._turn, self._labels
        speech_ms = speech * 1000 // RATE_HZ
        heard = turn.by(self._models.deciding)
        if not any(one.windows for one in turn.heard.values()) or speech_ms < s.min_speech_ms:
            return TOO_SHORT
        known = labels.search(heard.mean, besides=turn.founded) if heard.windows else []
        learns = heard.windows > 0 and is_over and speech_ms >= s.label_min_ms
        # One window of a main model is enough for a new label, unless another one is near: a
        # whisper or a shout of that speaker sounds so.
        is_sure = bool(self._models.main) and not (known and known[0].score >= NEAREST)
        if found_from_ms is None:
            found_from_ms = s.label_min_ms if is_sure else SURE_MS
        may_found = speech_ms >= found_from_ms or (learns and (is_sure or not self._models.main))
        evidence = Evidence(
            enrolled=self._search(turn, speech / RATE_HZ),
            labels=known,
            own=turn.founded,
            coherence=heard.coherence if heard.windows else 0.0,
            may_found=heard.windows > 0 and may_found,
            next_label=labels.next_name,
        )
        found = decide(evidence, self._band, self._label_band)
        if found.label == "founded":
            turn.founded = labels.found(heard.mean)
        elif learns and found.label is not None:
            assert found.speaker is not None
            learn = labels.add if found.label == "assigned" else labels.replace
            learn(found.speaker, heard.mean)
        self._is_open = is_open(found, evidence, self._band, self._label_band)
        return found

    def _search(self, turn: Turn, seconds: float) -> list[Match]:
        """Return the enrolled voices, best first, without those that were deleted meanwhile.

        It returns at least the two nearest, if there are two. It looks at more voices only if some
        of these were deleted, because the gallery may be large and changes with every session.
        """
        now: Gallery = self._context.gallery()
        limit = 2
        while True:
            found = self._nearest(turn, seconds, limit)
            known = [match for match in found if match.name in now]
            if len(known) >= 2 or limit >= len(self._gallery):
                return known
            limit *= 8

    def _nearest(self, turn: Turn, seconds: float, limit: int) -> list[Match]:
        """Return the nearest enrolled voices; `seconds` is the speech in the turn."""
        main, channel = self._models.main, self._context.channel
        heard = {model: one for model, one in turn.heard.items() if one.windows}
        if not main:
            return self._gallery.search(heard[self._models.windows].mean, channel, limit)
        spoken = {
            model: Spoken(one.mean, one.seconds if model == main else seconds)
            for model, one in heard.items()
        }
        return self._gallery.find(spoken, channel, limit)
