"""A real store for sessions and servers without a daemon; each client may have its own tenant."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from fakes.driving import Player, Stage, fake_registry, tone

from streamd.access.audit.writer import Nowhere
from streamd.access.parts import Access
from streamd.config.sections import LimitsConfig
from streamd.engine.passes.fake import FakeVoice
from streamd.errors import Unavailable
from streamd.files.enroller import Enroller, sample_of_stream
from streamd.files.enrolment import enrol
from streamd.live.enrolling import Stored
from streamd.modules.emotion import BASELINE_MODEL
from streamd.modules.gallery import Gallery
from streamd.modules.registry import Registry
from streamd.observability.metrics import Metrics
from streamd.session.enrolments import PendingEnrolment
from streamd.store import open_store
from streamd.store.base import Enrolment

MODEL = "ge2e-resemblyzer-0.1.4"
"""The model that `fake_registry` names; the fake voice pass computes its embeddings."""


class Voices:
    """The voices of some tenants, in an SQLite store.

    Args:
        registry: The modules of sessions.
        anna: Whether every new tenant knows the tone of 300 Hz by that name.
    """

    def __init__(self, registry: Registry | None = None, *, anna: bool = True) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="voices-", dir=_fast()))
        self.store = open_store(self.folder / "v.db", self.folder / "key")
        self.registry = registry or fake_registry()
        self._anna = anna
        self._galleries: dict[str, Gallery] = {}
        self._numbers = itertools.count(1)
        self.is_away = False
        """Whether sessions cannot enrol."""

    def tenant(self) -> str:
        """Return the name of a new tenant."""
        name = f"t{next(self._numbers)}"
        if self._anna:
            (voice,), _ = FakeVoice().run([tone(300, 1600)], [None], {})
            theirs = Enrolment(voice.embedding, MODEL, "wide", 5000, "anna.wav")
            self.store.of(name).enrol("anna", [theirs])
        self.read(name)
        return name

    def gallery(self, tenant: str) -> Gallery:
        return self._galleries[tenant]

    def read(self, tenant: str) -> None:
        """Know what is in the store of a tenant."""
        self._galleries[tenant] = self.store.of(tenant).load_gallery(MODEL, BASELINE_MODEL)

    def enroller(self, metrics: Metrics) -> Enroller:
        """Return what a server enrols with."""

        async def changed() -> None:
            for tenant in self.store.tenants():
                await asyncio.to_thread(self.read, tenant)

        access = Access(
            self.store.access, LimitsConfig(), Nowhere(), needs_key=False, metrics=metrics
        )
        return Enroller(self.store, access, self.registry, changed)

    def enrol(self, tenant: str, pending: PendingEnrolment) -> Stored | Unavailable:
        """Store a voice of a session, as a server does, and read the voices again."""
        if self.is_away:
            return Unavailable("the store is away")
        store, name = self.store.of(tenant), pending.request.speaker
        before = len(store.enrolments(name))
        sample = sample_of_stream(pending.sample, self.registry)
        (done,) = enrol(store, name, [sample], self.registry)
        self.read(tenant)
        return Stored(before + done.is_new, done.quality)

    def close(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


class EnrollingPlayer(Player):
    """A client of a new tenant, whose session enrols when the stage's schedule lets it."""

    def __init__(self, stage: Stage, voices: Voices, **options: Any) -> None:
        self.tenant = voices.tenant()
        self._voices = voices
        super().__init__(
            stage, voices.registry, gallery=lambda: voices.gallery(self.tenant), **options
        )

    def pump(self) -> None:
        super().pump()
        if (pending := self.session.take_enrolment()) is not None:
            self.stage.stored.append(partial(self._store, pending))

    def _store(self, pending: PendingEnrolment) -> None:
        stored = self._voices.enrol(self.tenant, pending)
        if isinstance(stored, Stored):
            self.session.enrolled(*stored)
        else:
            self.session.not_enrolled(stored)
        self.pump()


def _fast() -> str | None:
    """Return a folder in memory, where there is one: a test has no power cut to fear."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
