"""The description of one stream: the fields of `ready`, and totals for the log."""

from __future__ import annotations

import secrets
import time
from typing import Any

from msgspec import UNSET

from streamd.events import Ready
from streamd.live.names import NO_NAMES
from streamd.live.services import Services
from streamd.modules.gallery import Gallery
from streamd.modules.speaker import described
from streamd.session.session import Session
from streamd.wall_clock import now_ms


class Description:
    """Describes one stream. The description stays when the session is closed.

    Args:
        services: What all streams share.
    """

    def __init__(self, services: Services) -> None:
        self.id = f"s_{secrets.token_hex(8)}"
        self._services = services
        self._began_s = time.monotonic()
        self._epoch_ms = now_ms()
        self._audio: dict[str, Any] = {}
        self._modules: dict[str, dict[str, Any]] = {}
        self._samples = 0
        self.names = NO_NAMES
        """Names that the client gave before `hello`, and not in it."""

    def update(self, session: Session, gallery: Gallery) -> None:
        """Copy the present facts of the session, and what holds for its gallery."""
        self._samples = session.audio.frames
        self._audio = session.audio.described()
        self._modules = described(self._services.registry, session.modules, gallery)

    def ready(self, resume: dict[str, Any] | None) -> Ready:
        """Return the `ready` of a new stream.

        Args:
            resume: The token that it offers, or None.
        """
        return Ready(
            session=self.id,
            epoch_ms=self._epoch_ms,
            audio=self._audio,
            modules=self._modules,
            limits=self._services.limits.described(),
            resume=resume,
            client=self.names.client or UNSET,
            device=self.names.device or UNSET,
        )

    def ready_again(self, resume: dict[str, Any] | None, controls: int) -> Ready:
        """Return the `ready` of a stream that is resumed.

        Args:
            resume: The token that it offers, or None.
            controls: Control messages received.
        """
        ready = self.ready(resume)
        ready.resumed = True
        ready.have_samples = self._samples
        ready.have_controls = controls
        return ready

    def totals(self, session: Session | None) -> dict[str, float]:
        """Return totals for the log; without a session only how long the stream lasted."""
        totals: dict[str, float] = {"duration_s": round(time.monotonic() - self._began_s, 3)}
        if session is not None:
            audio = session.audio
            totals["audio_s"] = round(audio.frames / audio.fmt.rate, 3)
            totals["utterances"] = session.utterances
        return totals
