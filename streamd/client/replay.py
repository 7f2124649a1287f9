"""Audio and control messages that the server may not have: kept, and sent again after a drop.

Places in the audio are those of `kept`, counted from the first that the caller gave. The server
counts from the start of its session, without what was lost: `_shift` is the difference.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamd.client.kept import Data, Kept
from streamd.protocol.controls import CONTROLS

MAX_CONTROLS = 1000
"""Most control messages that are kept; then the oldest is dropped."""
PING = {"type": "ping", "t": "streamd.client/resumed"}
"""Goes before a gap of the caller's that comes first after a resume. Without it the server would
take the gap for audio that the drop lost."""


@dataclass(slots=True)
class _Control:
    place: int
    """Place in the audio that it stands before."""
    message: dict[str, Any]
    is_counted: bool
    """Whether it counts for `have_controls`."""
    is_loss: bool = False
    """Whether it names audio that this buffer dropped."""
    is_answered: bool = False
    """Whether the server has answered it; known of enrolments alone."""


class Replay:
    """Audio and control messages in order, from the oldest that the server may not have.

    Args:
        kept: Keeps the audio, none yet.
        max_frames: Most sample frames that are kept. Then the oldest audio is dropped, and a `gap`
            names it after a resume.
    """

    def __init__(self, kept: Kept, max_frames: int) -> None:
        self._kept = kept
        self._frame_size = kept.frame_size
        self.max_size = max(max_frames, 1) * kept.frame_size
        """Most places that the audio takes."""
        self._sent = 0
        """Place of the first audio that is to be sent."""
        self._acked = 0
        """Place of the first audio that the server may not have."""
        self._shift = 0
        self._controls: deque[_Control] = deque()
        self._controls_sent = 0
        """Kept control messages that were sent on this connection."""
        self._controls_gone = 0
        """Counted control messages of this session that are no longer kept."""
        self._settled: dict[str, Any] = {}
        """Modules that confirmed `config` messages have set."""
        self._is_back = False
        """Whether nothing was sent since the session was resumed."""

    @property
    def size_bytes(self) -> int:
        """Audio that is kept, bytes."""
        return self._kept.size_bytes

    @property
    def size(self) -> int:
        """Places that the audio takes."""
        return self._kept.end - self._kept.start

    @property
    def free(self) -> int:
        """Places of the audio that fits without dropping any."""
        return self.max_size - self.size

    @property
    def is_unsent(self) -> bool:
        """Whether a message waits to be sent."""
        return self._sent < self._kept.end or self._controls_sent < len(self._controls)

    @property
    def samples(self) -> int:
        """Sample frames that the caller has added."""
        return self._kept.end // self._frame_size

    @property
    def samples_acked(self) -> int:
        """Sample frames of the caller that the server has acknowledged."""
        return self._acked // self._frame_size

    @property
    def samples_kept_from(self) -> int:
        """Number of the first sample frame that is kept."""
        return self._kept.start // self._frame_size

    def add_audio(self, data: Data) -> None:
        """Take audio: samples, cut anywhere, or one packet."""
        self._kept.add(data)
        self._bound()

    def add_control(self, message: Mapping[str, Any]) -> None:
        """Take a control message, at its place behind the audio so far.

        Args:
            message: As in `docs/wire.md`, of any type.
        """
        kind = message.get("type")
        if kind in ("gap", "end"):
            self._kept.end_piece(is_last=kind == "end")
            self._bound()
        self._controls.append(_Control(self._kept.end, dict(message), counts(message)))
        while len(self._controls) > MAX_CONTROLS:
            self._forget_control()

    def next(self) -> str | bytes | None:
        """Return the next message to send, or None if all are sent."""
        if self._controls_sent < len(self._controls):
            control = self._controls[self._controls_sent]
            if control.place <= self._sent:
                is_first, self._is_back = self._is_back, False
                if is_first and not control.is_loss and _is_in_samples(control.message):
                    return json.dumps(PING)
                self._controls_sent += 1
                return json.dumps(control.message)
            limit = control.place
        else:
            limit = self._kept.end
        if limit == self._sent:
            return None
        self._is_back = False
        message, self._sent = self._kept.message(self._sent, limit)
        return message

    def acked(self, samples: int) -> None:
        """Forget what the server has acknowledged.

        Args:
            samples: The `samples` of an `ack`.
        """
        place = min(samples * self._frame_size + self._shift, self._sent)
        self._acked = max(self._acked, place)
        self._forget_audio(place)
        # A control message at the very place may still be on its way.
        while self._controls_sent and self._controls[0].place < place:
            self._forget_control()

    def resume(self, have_samples: int, have_controls: int) -> int:
        """Continue behind the last message that the server has.

        Args:
            have_samples: `have_samples` of the `ready` of a resumed session.
            have_controls: `have_controls` of the same `ready`.

        Returns:
            Sample frames that are lost; the next message names them.
        """
        place = min(have_samples * self._frame_size + self._shift, self._kept.end)
        self._acked = max(self._acked, place)
        self._forget_audio(place)
        while self._controls and self._controls_gone < have_controls:
            self._forget_control()
        self._controls_gone = have_controls
        self._rewind()
        lost = (self._kept.start - place) // self._frame_size
        self._shift += self._kept.start - place
        self._name_loss(lost)
        self._is_back = True
        return lost

    def answered(self, enrol_id: str) -> None:
        """Take note that the server has answered an enrolment."""
        for control in self._controls:
            is_it = _is_enrol(control) and control.message.get("id", "") == enrol_id
            if is_it and not control.is_answered:
                control.is_answered = True
                return

    def restart(self) -> list[str]:
        """Continue in a new session with what is kept.

        Enrolments are left out: they name utterances of the old session; in the new one, others
        have these names. So are gaps before the oldest audio, where the new clock begins: one as
        long as the longest session would end each new one.

        Returns:
            Ids of the enrolments that were not answered.
        """
        enrols = [control for control in self._controls if _is_enrol(control)]
        unanswered = [str(c.message.get("id", "")) for c in enrols if not c.is_answered]
        self._controls_gone = 0
        self._shift = self._kept.start
        self._is_back = False
        self._rewind()
        self._controls = deque(
            control
            for control in self._controls
            if not (_is_enrol(control) or (_is_gap(control) and control.place == self._kept.start))
        )
        if self._settled:
            message = {"type": "config", "modules": self._settled}
            self._controls.appendleft(_Control(self._kept.start, message, is_counted=True))
        return unanswered

    # Inside.

    def _bound(self) -> None:
        if (excess := self.size - self.max_size) > 0:
            self._forget_audio(self._kept.start + excess)

    def _forget_audio(self, place: int) -> None:
        if place > self._kept.start:
            self._kept.forget(place)
            self._sent = max(self._sent, self._kept.start)

    def _forget_control(self) -> None:
        control = self._controls.popleft()
        self._controls_sent = max(self._controls_sent - 1, 0)
        if not control.is_counted:
            return
        self._controls_gone += 1
        if control.message["type"] == "config":
            modules = control.message.get("modules")
            self._settled = {**self._settled, **(modules if isinstance(modules, dict) else {})}

    def _rewind(self) -> None:
        """Send again what is kept, except messages that concern the old connection alone."""
        self._controls = deque(
            control
            for index, control in enumerate(self._controls)
            if control.is_counted or index >= self._controls_sent
        )
        self._sent = self._kept.start
        self._controls_sent = 0
        for control in self._controls:
            control.place = max(control.place, self._kept.start)

    def _name_loss(self, samples: int) -> None:
        """Put a gap before everything else, or extend one that the server has not received."""
        if self._controls and self._controls[0].is_loss:
            samples += self._controls.popleft().message["samples"]
        if samples > 0:
            message = {"type": "gap", "samples": samples}
            self._controls.appendleft(
                _Control(self._kept.start, message, is_counted=True, is_loss=True)
            )


def counts(message: Mapping[str, Any]) -> bool:
    """Return whether the server counts a control message for `have_controls`.

    It counts those that act at their place in the stream, even if it refuses them.
    """
    return message.get("type") in CONTROLS


def _is_enrol(control: _Control) -> bool:
    return control.message.get("type") == "enrol"


def _is_gap(control: _Control) -> bool:
    return control.message.get("type") == "gap"


def _is_in_samples(message: Mapping[str, Any]) -> bool:
    return message.get("type") == "gap" and bool(message.get("samples"))
