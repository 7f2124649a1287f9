"""The store in SQL, which is one for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

from streamd.errors import BadName, NotErased, StreamdError, Unavailable
from streamd.modules.gallery import Gallery
from streamd.modules.voice_models import VoiceModels
from streamd.modules.words import CustomWord, CustomWords, check_word
from streamd.store import calibrations, changes, erasure, shared, voices, words
from streamd.store.access import AccessStore
from streamd.store.base import Enrolment, EnrolmentInfo, Recording, SpeakerInfo
from streamd.store.calibrations import Calibrated
from streamd.store.database import Database
from streamd.store.names import check_name
from streamd.store.sqlaccess import SqlAccess
from streamd.store.voices import Tenant
from streamd.types import Floats
from streamd.wall_clock import now_ms


def opened(database: Database, tenant: str) -> SqlStore:
    """Return the store in a database, and erase remains of earlier deletions if that can be done.

    The database is closed if it cannot be used.
    """
    store = SqlStore(database, tenant)
    try:
        store.erase()
    except StreamdError:
        store.close()
        raise
    return store


class SqlStore:
    """The store of `streamd.store.base.Store`, which documents each call."""

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = tenant

    @property
    def database(self) -> Database:
        """The database, of all tenants."""
        return self._database

    @property
    def tenant(self) -> str:
        """The tenant whose voices and words it shows."""
        return self._tenant

    @property
    def access(self) -> AccessStore:
        """Keys, and what else processes share."""
        return SqlAccess(self._database)

    def of(self, tenant: str) -> SqlStore:
        """Return the store as `tenant` sees it."""
        return SqlStore(self._database, tenant)

    def tenants(self) -> list[str]:
        """Return every tenant that has a voice, a word or a calibration, by name."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT tenant FROM speakers UNION SELECT tenant FROM words"
                " UNION SELECT tenant FROM calibrations ORDER BY tenant"
            )
            return [tenant for (tenant,) in rows.fetchall()]

    def enrol(
        self,
        name: str,
        enrolments: Sequence[Enrolment],
        baselines: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        """Add enrolments to a voice, and create it if there is none of that name."""
        name = check_name(name)
        if not enrolments:
            raise ValueError("a voice without an enrolment")
        at_ms = now_ms()
        with self._database.writing() as db:
            tenant = self._sealing()
            voices.enrol(db, tenant, name, enrolments, at_ms)
            for model, baseline in baselines.items():
                voices.keep_baseline(db, tenant, name, model, baseline, at_ms)
            self._database.changed(db)

    def embeddings(self, name: str, model: str) -> list[Floats]:
        """Return the embeddings of a voice by `model`."""
        with self._database.snapshot() as db:
            return voices.embeddings(db, self._sealing(), check_name(name), model)

    def enrolments(self, name: str) -> list[EnrolmentInfo]:
        """Return the enrolments of a voice, oldest first; none if there is no such voice."""
        checked = _checked(name)
        if checked is None:
            return []
        with self._database.snapshot() as db:
            return voices.enrolments(db, self._sealing(), checked)

    def speakers(self) -> list[SpeakerInfo]:
        """Every voice, by name."""
        with self._database.snapshot() as db:
            return voices.infos(db, self._sealing())

    def rename(self, old: str, new: str) -> bool:
        """Rename a voice; False if there is none of that name."""
        new = check_name(new)
        with self._database.writing() as db:
            name = _checked(old)
            found = name is not None and voices.rename(db, self._sealing(), name, new)
            if found:
                erasure.request(db)  # the old name, and records that were sealed with it
                self._database.changed(db)
        self.erase()
        return found

    def delete(self, name: str) -> bool:
        """Delete a voice with its enrolments, past recovery; False if there is none."""
        with self._database.writing() as db:
            checked = _checked(name)
            found = checked is not None and voices.delete(db, self._sealing(), checked)
            if found:
                # What caches keep of the tenant's files cannot be opened from now on.
                shared.forget_secret(db, shared.voice_cache_secret(self._tenant))
                erasure.request(db)
                self._database.changed(db)
        if found:
            self._erase_or_raise(f"speaker {name!r}")
        return found

    def erase(self) -> bool:
        """Erase remains of what any process deleted, without waiting for others."""
        return erasure.complete(self._database, patiently=False)

    def version(self) -> int:
        """A number that grows with every change of voices, words and keys."""
        with self._database.reading() as db:
            return self._database.versions.number(changes.read(db))

    def keep_baselines(self, model: str, baselines: Mapping[str, bytes]) -> None:
        """Store the learned baselines of voices, in place of earlier ones."""
        at_ms = now_ms()
        with self._database.writing() as db:
            tenant, before = self._sealing(), changes.read(db)
            kept = [
                voices.keep_baseline(db, tenant, name, model, baseline, at_ms)
                for name, baseline in baselines.items()
            ]
            after = self._database.changed(db) if any(kept) else before
        self._database.versions.skip(before, after)

    def load_gallery(self, models: VoiceModels | str, baseline_model: str | None = None) -> Gallery:
        """Return the voices that were enrolled with any of these models."""
        if isinstance(models, str):
            models = VoiceModels(models)
        with self._database.snapshot() as db:
            version = self._database.versions.number(changes.read(db))
            return voices.gallery(db, self._sealing(), models, baseline_model, version)

    def recordings(self, names: Collection[str], models: VoiceModels) -> list[Recording]:
        """Return the enrolments of voices by these models, by name, oldest first."""
        wanted = sorted({check_name(name) for name in names})
        with self._database.snapshot() as db:
            tenant = self._sealing()
            return [one for name in wanted for one in voices.recordings(db, tenant, name, models)]

    def calibrations(self) -> list[Calibrated]:
        """Return the calibrated thresholds of all models, by model and channel."""
        with self._database.snapshot() as db:
            return calibrations.load(db, self._database.cipher, self._tenant)

    def calibrate(self, model: str, chosen: Sequence[Calibrated]) -> None:
        """Store the calibrated thresholds of a model, in place of all earlier ones."""
        with self._database.writing() as db:
            cipher = self._database.cipher
            if calibrations.replace(db, cipher, self._tenant, model, chosen):
                self._database.changed(db)

    def add_word(self, word: CustomWord, *, replace: bool = False) -> None:
        """Store a wake word."""
        check_word(word.info.name)
        with self._database.writing() as db:
            cipher = self._database.cipher
            if words.add(db, cipher, self._tenant, word, replace=replace):
                erasure.request(db)
            self._database.changed(db)
        self.erase()

    def remove_word(self, name: str) -> bool:
        """Delete a wake word, past recovery; False if there is none of that name."""
        try:
            check_word(name)
        except BadName:
            return False  # no such word can exist
        with self._database.writing() as db:
            found = words.remove(db, self._tenant, name)
            if found:
                erasure.request(db)
                self._database.changed(db)
        if found:
            self._erase_or_raise(f"wake word {name!r}")
        return found

    def load_words(self) -> CustomWords:
        """Every wake word of the tenant's own, by name."""
        with self._database.snapshot() as db:
            return words.load(db, self._database.cipher, self._tenant)

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call back when any process may have changed voices, words or keys."""
        return self._database.on_change(callback)

    def close(self) -> None:
        """Close the store."""
        self._database.close()

    def _erase_or_raise(self, what: str) -> None:
        if not erasure.complete(self._database, patiently=True):
            raise NotErased(
                f"the {what} is deleted, but {self._database.remains}: within seconds by a running "
                "`streamd serve`, else by the next command that opens the store, such as "
                "`streamd speakers`"
            )

    def _sealing(self) -> Tenant:
        return Tenant(self._tenant, self._database.cipher, self._damaged)

    def _damaged(self, name: str) -> Unavailable:
        return Unavailable(
            f"store {self._database.name}: an enrolment of {name!r} is damaged or was tampered "
            "with: delete that speaker and enrol anew, or restore a backup"
        )


def _checked(name: str) -> str | None:
    try:
        return check_name(name)
    except BadName:
        return None  # no such voice can exist
