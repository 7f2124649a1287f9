"""What a store of enrolled voices is, and the values that it speaks in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from streamd.errors import BadName
from streamd.modules.gallery import Channel, Gallery
from streamd.modules.words import CustomWord, CustomWords
from streamd.types import Floats

DEFAULT_TENANT = "default"
MAX_NAME_CHARS = 64

_SESSION_LABEL = re.compile(r"S[0-9]+")


@dataclass(frozen=True, slots=True)
class SpeakerInfo:
    """What may be told about an enrolled voice; its embeddings may not."""

    name: str
    enrolments: int
    channels: tuple[Channel, ...]
    models: tuple[str, ...]
    """Ids of the models that it was enrolled with; others do not know it."""
    speech_ms: int
    """Speech in all its enrolments."""
    created_ms: int
    """Unix time of the first enrolment, milliseconds."""


class Store(Protocol):
    """Voices of one tenant. Calls are synchronous and may come from any thread.

    Every call may raise `Unavailable` (permission, disk, a lock that is not given up).
    """

    def add_enrolment(
        self,
        name: str,
        embedding: Floats,
        model: str,
        channel: Channel,
        speech_ms: int,
        source: str,
    ) -> None:
        """Add one enrolment to a voice, which it founds if need be.

        Args:
            name: as `check_name` wants it.
            embedding: `[dim]`, finite and not all zero; kept at length 1.
            model: catalogue id of the model that made it.
            channel: kind of channel that it was recorded on.
            speech_ms: milliseconds of speech in it.
            source: what it was made from, as a file name.

        Raises:
            BadName: the name may not be used.
            ValueError: the embedding is none.
        """
        ...

    def speakers(self) -> list[SpeakerInfo]:
        """Every voice, by name."""
        ...

    def rename(self, old: str, new: str) -> bool:
        """Rename a voice; False if there is none of that name.

        Raises:
            BadName: the new name may not be used.
            NameTaken: another voice has it.
        """
        ...

    def delete(self, name: str) -> bool:
        """Delete a voice with its enrolments, past recovery; False if there is none."""
        ...

    def version(self) -> int:
        """A number that grows with every change, also by other processes. Cheap to poll."""
        ...

    def keep_baselines(self, model: str, baselines: Mapping[str, bytes]) -> None:
        """Keep what was learned of voices, by name, in the place of what was kept before.

        Names of nobody (any more) are passed over. Who calls it knows what it keeps: it does
        not count as a change in this store's own `version`, only in that of other processes.
        """
        ...

    def load_gallery(self, model: str, baseline_model: str | None = None) -> Gallery:
        """The voices that `model` knows; `revision` is the `version` that it shows.

        Args:
            model: of the embeddings.
            baseline_model: of the baselines; None leaves them out.
        """
        ...

    def add_word(self, word: CustomWord, *, replace: bool = False) -> None:
        """Keep a wake word; when it was made is noted here.

        Args:
            word: its name as `check_word` wants it.
            replace: whether it may take the place of another one.

        Raises:
            BadName: the name may not be used.
            NameTaken: there is a word of that name, and it is not to be replaced.
        """
        ...

    def remove_word(self, name: str) -> bool:
        """Delete a wake word, past recovery; False if there is none of that name."""
        ...

    def load_words(self) -> CustomWords:
        """Every wake word of the tenant's own, by name."""
        ...

    def close(self) -> None:
        """Give the store back. Nothing else may be called afterwards."""
        ...


def strangers(speakers: Iterable[SpeakerInfo], model: str) -> list[str]:
    """Names of the voices that were enrolled, but not with this model: it does not know them."""
    return [speaker.name for speaker in speakers if model not in speaker.models]


def check_name(name: str) -> str:
    """The name in Unicode NFC, so that one spelling is one voice.

    Raises:
        BadName: it is empty, too long, not printable, or reads like a session label.
    """
    name = unicodedata.normalize("NFC", name)
    if not 1 <= len(name) <= MAX_NAME_CHARS:
        raise BadName(f"a speaker's name has 1 to {MAX_NAME_CHARS} characters, not {len(name)}")
    if not name.isprintable() or name != name.strip():
        raise BadName(f"speaker name {name!r}: printable characters only, no space at either end")
    if _SESSION_LABEL.fullmatch(name):
        raise BadName(
            f"speaker name {name!r}: S with a number is what a session calls a voice that "
            "nobody enrolled; choose another name"
        )
    return name
