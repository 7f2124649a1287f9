"""What the REST operations share."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from streamd.access.audited import Audited, changed_by_client
from streamd.access.parts import Access
from streamd.access.principal import Principal
from streamd.calibration.calibrator import Calibrator
from streamd.config import Config
from streamd.engine.recognition.lane import Transcriber
from streamd.files.enroller import Enroller
from streamd.files.sessions import FileSessions
from streamd.files.uploads import Uploads
from streamd.files.voice_cache import VoiceCache
from streamd.files.voice_files import VoiceFiles
from streamd.files.voice_reading import voice_models
from streamd.live.services import Services
from streamd.places import key_path
from streamd.store.base import Store
from streamd.transport.http.peers import Peers
from streamd.transport.http.rest.idempotency import Repeats
from streamd.transport.http.rest.memory import Memory
from streamd.words.jobs import Workshop


@dataclass(frozen=True, slots=True)
class Rest:
    """The parts of one daemon that REST operations use."""

    services: Services
    """Engine, modules, voices and words: those of the streams."""
    uploads: Uploads
    sessions: FileSessions
    voices: VoiceFiles
    enroller: Enroller
    access: Access
    config: Config
    peers: Peers
    memory: Memory
    repeats: Repeats
    workshop: Workshop
    """Makes the wake words of users."""
    calibrator: Calibrator
    """Calibrates the voices of tenants."""
    transcriber: Transcriber | None
    """Makes the text of files; None for no text."""
    is_draining: Callable[[], bool]
    changed: Callable[[], Awaitable[None]]
    """Has the voices and words of the store read again at once."""
    _store: Store

    @classmethod
    def of(
        cls,
        services: Services,
        store: Store,
        cache: VoiceCache,
        enroller: Enroller,
        access: Access,
        config: Config,
        is_draining: Callable[[], bool],
        changed: Callable[[], Awaitable[None]],
        transcriber: Transcriber | None = None,
    ) -> Rest:
        """Return the parts for these services.

        Args:
            services: What all streams share.
            store: Voices and words of every tenant.
            cache: Remembers voices of files.
            enroller: Writes enrolments.
            access: Keys, limits and the audit log.
            config: The configuration in force.
            is_draining: Whether the server is about to stop.
            changed: Has the store read again.
            transcriber: Makes the text of files; None for no text.
        """
        uploads = Uploads(config.files, services.metrics, services.tracing)
        registry = services.registry
        sessions = FileSessions(uploads, services.engine, registry, services.ring_s)
        return cls(
            services=services,
            uploads=uploads,
            sessions=sessions,
            voices=VoiceFiles(sessions, registry, cache),
            enroller=enroller,
            access=access,
            config=config,
            peers=Peers(config.server.trusted_proxies),
            memory=Memory(services.metrics),
            repeats=Repeats(access.shared),
            workshop=Workshop(services.metrics),
            calibrator=Calibrator(
                voice_models(registry),
                services.metrics,
                key_path(os.environ, config.store.key_path),
            ),
            transcriber=transcriber,
            is_draining=is_draining,
            changed=changed,
            _store=store,
        )

    def store(self, principal: Principal, peer: str | None) -> Audited:
        """Return the store of a tenant, whose calls block, and write changes to the audit log."""
        return changed_by_client(self._store, principal, peer, self.access.recorder)

    async def close(self) -> None:
        """End the decoding processes, after the last request."""
        await self.uploads.close()
        if self.transcriber is not None:
            self.transcriber.close()
