"""Reads the text files of a model for FunASR: its settings and its CMVN.

A file is read whole or refused: a setting that would change the numbers, and that the reader of the
model does not know, is an error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from streamd.errors import ModelMissing

MAX_TEXT_BYTES = 2**20
_MAX_SIZE = 16_384


class FunAsrFile:
    """One file of a model.

    Args:
        path: the file.
        hint: what to do about a file that is not as it should be, at the end of the message.
    """

    def __init__(self, path: Path, hint: str) -> None:
        self.path = path
        self.hint = hint

    def text(self) -> str:
        """Return the text, with its lines ended as on Unix.

        Raises:
            ModelMissing: it is absent, not UTF-8, or has more than 1 MiB.
        """
        try:
            with self.path.open("rb") as file:
                content = file.read(MAX_TEXT_BYTES + 1)
        except OSError as error:
            self.unreadable(error)
        if len(content) > MAX_TEXT_BYTES:
            self.refuse(f"it has more than {MAX_TEXT_BYTES} bytes")
        try:
            return content.decode().replace("\r\n", "\n")
        except UnicodeDecodeError:
            self.refuse("it is no UTF-8 text")

    def sections(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Read a YAML file: the scalars at its top, under "", and those of some sections.

        The other sections are for training, and are passed over.

        Args:
            names: the sections to read; one that is absent is empty.

        Raises:
            ModelMissing: a line is no setting, or sets something again.
        """
        found: dict[str, dict[str, str]] = {"": {}, **{name: {} for name in names}}
        section = ""
        for number, line in enumerate(self.text().split("\n"), 1):
            line = re.sub(r"(^|\s)#.*", "", line).rstrip()
            is_inner = line.startswith((" ", "-"))
            if not line or line == "---" or (is_inner and section not in found):
                continue
            match = re.fullmatch(r" *([A-Za-z_][A-Za-z0-9_]*):(?: +(\S.*))?", line)
            if match is None or (is_inner and not section):
                self.refuse(f"line {number} is no setting")
            name, value = match[1], (match[2] or "").strip("'\"")
            if not is_inner:
                section = name if not value else ""
            target = found[section if is_inner else ""]
            if name in target:
                self.refuse(f"line {number} sets {name} again")
            target[name] = value
        return found

    def expect(
        self,
        found: Mapping[str, str],
        fixed: Mapping[str, str],
        more: Collection[str] | None = None,
    ) -> None:
        """Refuse settings that differ from `fixed`.

        Args:
            found: settings by name.
            fixed: what they must be.
            more: names of settings that may be there, too; None lets every other one pass.

        Raises:
            ModelMissing: a setting differs or is another one.
        """
        for name, value in fixed.items():
            if found.get(name, "").lower() != value.lower():
                shown = repr(found.get(name, "nothing")[:50])
                self.refuse(f"{name} should be {value}, found {shown}")
        if more is not None and (unknown := sorted(set(found) - set(fixed) - set(more))):
            self.refuse(f"it sets {unknown[0][:50]}")

    def sizes(
        self, section: str, found: Mapping[str, str], names: Collection[str], least: int = 1
    ) -> dict[str, int]:
        """Return settings that are sizes.

        Raises:
            ModelMissing: one is absent, no number, or out of bounds.
        """
        numbers = {name: found.get(name, "") for name in names}
        for name, value in numbers.items():
            is_number = re.fullmatch(r"0|[1-9][0-9]{0,5}", value)
            if not is_number or not least <= int(value) <= _MAX_SIZE:
                self.refuse(f"{section}.{name} should be a size, found {value[:50]!r}")
        return {name: int(value) for name, value in numbers.items()}

    def cmvn(self, size: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Read shift and scale, `[size]` each, from a network in Kaldi's text form.

        Raises:
            ModelMissing: it is absent or damaged.
        """
        words = self.text().split()
        vectors = []
        for name in ("<AddShift>", "<Rescale>"):
            # <AddShift> 400 400 <LearnRateCoef> 0 [ ... ]
            start = words.index(name) if words.count(name) == 1 else -1
            head = [name, str(size), str(size), "<LearnRateCoef>"]
            body = words[start + 5 :]
            if (
                start < 0
                or words[start : start + 4] != head
                or body[:1] != ["["]
                or "]" not in body
            ):
                self.refuse(f"it has no {name} of {size} numbers")
            try:
                vector = np.array(body[1 : body.index("]")], np.float64)
            except ValueError as error:
                self.refuse(f"a number of {name} is none ({str(error)[:100]})")
            if vector.shape != (size,):
                self.refuse(f"{name} should have {size} numbers, found {len(vector)}")
            if not np.isfinite(vector).all():
                self.refuse(f"a number of {name} is not finite")
            vectors.append(vector)
        return vectors[0], vectors[1]

    def unreadable(self, error: OSError) -> NoReturn:
        """Refuse a file that the system cannot read.

        Raises:
            ModelMissing: always.
        """
        raise ModelMissing(
            f"cannot read {self.path} ({error.strerror or error}). {self.hint}"
        ) from error

    def refuse(self, why: str) -> NoReturn:
        """Refuse the file.

        Raises:
            ModelMissing: always.
        """
        raise ModelMissing(
            f"{self.path.name} is not the file that this converter knows: {why}. {self.hint}"
        )
