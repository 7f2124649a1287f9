"""A store that writes every change to the audit log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

from streamd.access.audit.entry import Action, Actor, Recorder, alias, entry
from streamd.access.principal import Principal
from streamd.errors import NotErased
from streamd.modules.gallery import Gallery
from streamd.modules.voice_models import VoiceModels
from streamd.modules.words import CustomWord, CustomWords
from streamd.store.access import AccessStore, Answer, KeyRecord, Spend
from streamd.store.base import Enrolment, EnrolmentInfo, Recording, SpeakerInfo, Store
from streamd.store.calibrations import Calibrated
from streamd.store.names import check_name
from streamd.types import Floats


class Audited:
    """The store of `streamd.store.base.Store`, which documents each call.

    An entry is written after the change that it is about.

    Args:
        store: Does the work.
        tenant: Whose voices and words it shows.
        recorder: Takes the entries.
        actor: Who makes the changes.
    """

    def __init__(self, store: Store, tenant: str, recorder: Recorder, actor: Actor) -> None:
        self._store = store
        self._tenant = tenant
        self._recorder = recorder
        self._actor = actor

    @property
    def access(self) -> AccessStore:
        """Return the keys, tickets and counters; changes to keys are written down."""
        return AuditedAccess(self._store.access, self._recorder, self._actor)

    def of(self, tenant: str) -> Audited:
        """Return the store as `tenant` sees it."""
        return Audited(self._store.of(tenant), tenant, self._recorder, self._actor)

    def changed_by(self, actor: Actor, recorder: Recorder) -> Audited:
        """Return the same store for changes that another actor makes."""
        return Audited(self._store, self._tenant, recorder, actor)

    def tenants(self) -> list[str]:
        """Return every tenant that has a voice, a word or a calibration, by name."""
        return self._store.tenants()

    def enrol(
        self,
        name: str,
        enrolments: Sequence[Enrolment],
        baselines: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        """Add enrolments to a voice, and create it if there is none of that name."""
        self._store.enrol(name, enrolments, baselines)
        self._record("voice_enrolled", voice=self._alias(name), count=len(enrolments))

    def record_import(self, name: str, enrolments: int) -> None:
        """Write down that a voice came from an export, which the store has taken in."""
        self._record("voice_enrolled", voice=self._alias(name), count=enrolments)

    def embeddings(self, name: str, model: str) -> list[Floats]:
        """Return the embeddings of a voice by `model`."""
        return self._store.embeddings(name, model)

    def enrolments(self, name: str) -> list[EnrolmentInfo]:
        """Return the enrolments of a voice, oldest first."""
        return self._store.enrolments(name)

    def speakers(self) -> list[SpeakerInfo]:
        """Return every voice, by name."""
        return self._store.speakers()

    def rename(self, old: str, new: str) -> bool:
        """Rename a voice; False if there is none of that name."""
        is_found = self._store.rename(old, new)
        if is_found:
            self._record("voice_renamed", voice=self._alias(old), renamed_to=self._alias(new))
        return is_found

    def delete(self, name: str) -> bool:
        """Delete a voice with its enrolments, past recovery; False if there is none."""
        return self.delete_voice(name) is not None

    def delete_voice(self, name: str) -> str | None:
        """Delete a voice as `delete` does, and return the id of the entry about it.

        Returns:
            The id, empty without an audit log; None if there is no such voice.
        """
        try:
            is_found = self._store.delete(name)
        except NotErased:
            self._record("voice_deleted", voice=self._alias(name), outcome=NotErased.__name__)
            raise
        return self._record("voice_deleted", voice=self._alias(name)) if is_found else None

    def erase(self) -> bool:
        """Erase remains of what any process deleted, without waiting for others."""
        return self._store.erase()

    def version(self) -> int:
        """Return a number that grows with every change, also by other processes."""
        return self._store.version()

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call back when any process may have changed something."""
        return self._store.on_change(callback)

    def keep_baselines(self, model: str, baselines: Mapping[str, bytes]) -> None:
        """Keep what was learned of voices: streamd's own doing, so no entry."""
        self._store.keep_baselines(model, baselines)

    def load_gallery(self, models: VoiceModels | str, baseline_model: str | None = None) -> Gallery:
        """Return the voices that were enrolled with any of these models."""
        return self._store.load_gallery(models, baseline_model)

    def recordings(self, names: Collection[str], models: VoiceModels) -> list[Recording]:
        """Return the enrolments of voices by these models, by name, oldest first."""
        return self._store.recordings(names, models)

    def calibrations(self) -> list[Calibrated]:
        """Return the calibrated thresholds of all models, by model and channel."""
        return self._store.calibrations()

    def calibrate(self, model: str, chosen: Sequence[Calibrated]) -> None:
        """Store the calibrated thresholds of a model, in place of all earlier ones."""
        self._store.calibrate(model, chosen)
        if not chosen:
            self._record("calibration_removed", model=model)
            return
        self._record(
            "calibrated",
            model=model,
            target_far=chosen[0].target_far,
            thresholds={one.channel: one.threshold for one in chosen},
        )

    def add_word(self, word: CustomWord, *, replace: bool = False) -> None:
        """Store a wake word."""
        self._store.add_word(word, replace=replace)
        self._record("word_added", word=word.info.name)

    def remove_word(self, name: str) -> bool:
        """Delete a wake word, past recovery; False if there is none of that name."""
        try:
            is_found = self._store.remove_word(name)
        except NotErased:
            self._record("word_removed", word=name, outcome=NotErased.__name__)
            raise
        if is_found:
            self._record("word_removed", word=name)
        return is_found

    def load_words(self) -> CustomWords:
        """Return every wake word of the tenant, by name."""
        return self._store.load_words()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _record(self, action: Action, **fields: object) -> str:
        return self._recorder.record(entry(action, self._actor, tenant=self._tenant, **fields))

    def _alias(self, name: str) -> str:
        return alias(self._store.access.secret("audit"), self._tenant, check_name(name))


class AuditedAccess:
    """The store of `streamd.store.access.AccessStore`, which documents each call."""

    def __init__(self, store: AccessStore, recorder: Recorder, actor: Actor) -> None:
        self._store = store
        self._recorder = recorder
        self._actor = actor

    def add_key(self, key: KeyRecord) -> None:
        """Add a key."""
        self._store.add_key(key)
        self._record("key_created", key)

    def keys(self) -> list[KeyRecord]:
        """Return every key."""
        return self._store.keys()

    def revoke_key(self, name: str, now_ms: int) -> KeyRecord | None:
        """Revoke the key of that name."""
        revoked = self._store.revoke_key(name, now_ms)
        if revoked is not None:
            self._record("key_revoked", revoked)
        return revoked

    def secret(self, name: str) -> bytes:
        """Return 32 random bytes that all processes share."""
        return self._store.secret(name)

    def burn(self, ticket: str, until_ms: int, now_ms: int) -> bool:
        """Use up a ticket."""
        return self._store.burn(ticket, until_ms, now_ms)

    def count(self, bucket: str, limit: int, window_ms: int, now_ms: int) -> int:
        """Count one more use of a bucket."""
        return self._store.count(bucket, limit, window_ms, now_ms)

    def claim(
        self, process: str, key_id: str, sockets: int, most: int, lease_ms: int, now_ms: int
    ) -> bool:
        """Note the open sockets of a process and a key, unless all have too many together."""
        return self._store.claim(process, key_id, sockets, most, lease_ms, now_ms)

    def hold(self, process: str, sockets: Mapping[str, int], lease_ms: int, now_ms: int) -> None:
        """Note all open sockets of a process, by key."""
        self._store.hold(process, sockets, lease_ms, now_ms)

    def spend(self, spends: Sequence[Spend], now_ms: int) -> list[int]:
        """Add to what was used of limits on uses a second."""
        return self._store.spend(spends, now_ms)

    def answered(self, tenant: str, key: str, now_ms: int) -> Answer | None:
        """Return the reply that was kept for an idempotency key."""
        return self._store.answered(tenant, key, now_ms)

    def keep_answer(
        self, tenant: str, key: str, answer: Answer, until_ms: int, now_ms: int
    ) -> Answer:
        """Keep a reply."""
        return self._store.keep_answer(tenant, key, answer, until_ms, now_ms)

    def _record(self, action: Action, key: KeyRecord) -> None:
        self._recorder.record(
            entry(
                action,
                self._actor,
                tenant=key.tenant,
                subject_key=key.id,
                subject_name=key.name,
                scopes=key.scopes,
                expires_ms=key.expires_ms,
            )
        )


def changed_by_client(
    store: Store, principal: Principal, peer: str | None, recorder: Recorder
) -> Audited:
    """Return the store of a client's tenant, with the client as who makes the changes.

    Args:
        store: Voices and words of every tenant.
        principal: The client.
        peer: Its address.
        recorder: Takes the entries.
    """
    actor = Actor.of(principal, peer)
    theirs = store.of(principal.tenant)
    if isinstance(theirs, Audited):
        return theirs.changed_by(actor, recorder)
    return Audited(theirs, principal.tenant, recorder, actor)
