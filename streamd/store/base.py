"""The protocol of a store of enrolled voices, and its value types."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, Protocol

from streamd.modules.gallery import Channel, Gallery
from streamd.modules.voice_models import VoiceModels
from streamd.modules.words import CustomWord, CustomWords
from streamd.naming import DEFAULT_TENANT as DEFAULT_TENANT
from streamd.store.access import AccessStore
from streamd.store.calibrations import Calibrated
from streamd.types import Floats


@dataclass(frozen=True, slots=True)
class SpeakerInfo:
    """Public facts about an enrolled voice. Its embeddings are not among them."""

    name: str
    enrolments: int
    channels: tuple[Channel, ...]
    models: tuple[str, ...]
    """Ids of the models that it was enrolled with; it is unknown to others."""
    speech_ms: int
    """Speech in all its enrolments."""
    created_ms: int
    """Unix time of the first enrolment, milliseconds."""


@dataclass(frozen=True, slots=True)
class EnrolmentInfo:
    """Public facts about one enrolment. Its embedding is not among them."""

    id: str
    """As `e_…`; no other enrolment has it."""
    models: tuple[str, ...]
    """Catalogue ids of the models that made embeddings of it."""
    channel: Channel
    """Kind of channel that it was recorded on."""
    speech_ms: int
    """Speech in it, milliseconds."""
    created_ms: int
    """Unix time, milliseconds."""
    quality: str
    """JSON verdict on it; empty where it is not known."""


def new_enrolment_id() -> str:
    """Return an id for one enrolment."""
    return f"e_{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """One recording of a voice, as its embedding."""

    embedding: Floats
    """`[dim]`, finite and not all zero; kept at length 1."""
    model: str
    """Catalogue id of the model that made it."""
    channel: Channel
    """Kind of channel that it was recorded on."""
    speech_ms: int
    """Speech in it, milliseconds."""
    source: str
    """What it was made from, as a file name."""
    quality: str = ""
    """JSON verdict on it; empty where it is not known."""
    others: Mapping[str, Floats] = field(default_factory=dict)
    """Its embeddings by further models, by their catalogue id."""
    id: str = field(default_factory=new_enrolment_id)
    """As `e_…`; no other enrolment has it."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One enrolment with the voice that it belongs to, for whoever measures how alike voices are.

    Its embeddings leave the store, but never the process.
    """

    voice: str
    channel: Channel
    speech_ms: int
    """Speech in it, milliseconds."""
    embeddings: Mapping[str, Floats]
    """`[dim]`, unit vectors, by catalogue id of the model."""


class Store(Protocol):
    """Voices and wake words of one tenant. Calls are synchronous and may come from any thread.

    No call sees or changes what another tenant has; `of` gives the same store as another tenant
    sees it. `tenants`, `access`, `erase`, `version`, `on_change`
    and `close` are about the store as a whole.

    Each call that changes something does all of it or, if it raises or the process dies, nothing.
    Every call may raise `Unavailable` (permission, disk, a lock that is not released), and
    `StoreGone` after the database was deleted. The first call after a new one was created opens it.
    """

    @property
    def access(self) -> AccessStore:
        """Keys, and what else processes share; closing the store closes it."""
        ...

    def of(self, tenant: str) -> Store:
        """Return the store as `tenant` sees it; closing either closes both."""
        ...

    def tenants(self) -> list[str]:
        """Return every tenant that has a voice, a word or a calibration, by name."""
        ...

    def enrol(
        self,
        name: str,
        enrolments: Sequence[Enrolment],
        baselines: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        """Add enrolments to a voice, and create it if there is none of that name.

        Args:
            name: as `check_name` requires.
            enrolments: at least one.
            baselines: by model, what was learned of the voice; takes the place of earlier ones.

        Raises:
            BadName: the name may not be used.
            ValueError: an embedding is invalid, or of another size than those of its model.
        """
        ...

    def embeddings(self, name: str, model: str) -> list[Floats]:
        """Return the embeddings of a voice by `model`: unit vectors `[dim]`, oldest first.

        Raises:
            BadName: the name may not be used.
        """
        ...

    def enrolments(self, name: str) -> list[EnrolmentInfo]:
        """Return the enrolments of a voice, oldest first; none if there is no such voice."""
        ...

    def speakers(self) -> list[SpeakerInfo]:
        """Return every voice, by name."""
        ...

    def rename(self, old: str, new: str) -> bool:
        """Rename a voice; False if there is none of that name.

        Raises:
            BadName: the new name may not be used.
            NameTaken: another voice has it.
        """
        ...

    def delete(self, name: str) -> bool:
        """Delete a voice with its enrolments, past recovery; False if there is none.

        Raises:
            NotErased: it is deleted, but remains of it stay in the files until another process
                finishes reading; call `erase` again.
        """
        ...

    def erase(self) -> bool:
        """Erase remains of what any process deleted, without waiting for others. Cheap to poll.

        Returns:
            Whether none are left; False while another process reads the database.
        """
        ...

    def version(self) -> int:
        """Return a number that grows with every change of voices, words and keys.

        Those by other processes count; tickets, counters and replies do not. Cheap to poll. Each
        process counts for itself.
        """
        ...

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call back, on another thread, when any process may have changed something.

        Only a hint, which spares a poller with long pauses to wait: a call may be missing, and
        SQLite makes none.

        Returns:
            A function that ends the calls.
        """
        ...

    def keep_baselines(self, model: str, baselines: Mapping[str, bytes]) -> None:
        """Keep what was learned of voices, by name, in the place of what was kept before.

        Names without a voice are skipped. The caller knows what it stores: this store's own
        `version` does not change, only that of other processes.
        """
        ...

    def load_gallery(self, models: VoiceModels | str, baseline_model: str | None = None) -> Gallery:
        """Return the voices that were enrolled with any of these; `revision` is their `version`.

        Args:
            models: of the embeddings; an id stands for one whose cosines are the scores.
            baseline_model: of the baselines; None leaves them out.
        """
        ...

    def recordings(self, names: Collection[str], models: VoiceModels) -> list[Recording]:
        """Return the enrolments of voices by these models, by name, oldest first.

        Args:
            names: of voices; those that the tenant has not are left out.
            models: of the embeddings.
        """
        ...

    def calibrations(self) -> list[Calibrated]:
        """Return the calibrated thresholds of all models, by model and channel."""
        ...

    def calibrate(self, model: str, chosen: Sequence[Calibrated]) -> None:
        """Store the calibrated thresholds of a model, in place of all earlier ones.

        Args:
            model: catalogue id of the model that decides.
            chosen: at most one for each channel; none removes them.
        """
        ...

    def add_word(self, word: CustomWord, *, replace: bool = False) -> None:
        """Store a wake word with the time of its creation.

        Args:
            word: its name is as `check_word` requires.
            replace: whether it may replace another one.

        Raises:
            BadName: the name may not be used.
            NameTaken: there is a word of that name, and it is not to be replaced.
        """
        ...

    def remove_word(self, name: str) -> bool:
        """Delete a wake word, past recovery; False if there is none of that name.

        Raises:
            NotErased: as `delete`.
        """
        ...

    def load_words(self) -> CustomWords:
        """Return every wake word of the tenant, by name."""
        ...

    def close(self) -> None:
        """Close the store. No other call may follow."""
        ...


class ToEnrolAgain(NamedTuple):
    """The other-model enrolments: names of voices that `speaker.model` does not know."""

    unknown: Sequence[str] = ()
    """No model in force knows them, so they are not recognised."""
    by_windows: Sequence[str] = ()
    """The model of every window knows them and goes on for them, less reliably."""


def to_enrol_again(speakers: Iterable[SpeakerInfo], models: VoiceModels) -> ToEnrolAgain:
    """Return the names of the voices that the deciding model does not know, in their order."""
    deciding, windows = set(models.like(models.deciding)), set(models.like(models.windows))
    unknown, by_windows = list[str](), list[str]()
    for speaker in speakers:
        if deciding.isdisjoint(speaker.models):
            (unknown if windows.isdisjoint(speaker.models) else by_windows).append(speaker.name)
    return ToEnrolAgain(unknown, by_windows)
