"""Which modules there are, and what a session asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamd.modules.base import ReaderModule, SpeculativePass
from streamd.modules.vad import VadModule, VadOptions
from streamd.modules.wake import Listening, WakeModule
from streamd.modules.words import NO_WORDS, CustomWords

KNOWN = ("vad", "wake", "speaker", "emotion", "transcript")
"""Every module of the protocol, loaded or not."""


@dataclass(frozen=True, slots=True)
class ModuleSet:
    """What is on in a session, with options."""

    vad: VadOptions | None = None
    """None: no speech edges are reported; the VAD itself always runs."""
    wake: Listening | None = None
    readers: Mapping[str, Any] = field(default_factory=dict)
    """Options of the reader modules that are on, by name, in the registry's order."""


class Registry:
    """The modules of a server. Shared by all sessions, never changed."""

    def __init__(
        self,
        vad: VadModule,
        wake: WakeModule | None,
        readers: Sequence[ReaderModule],
        defaults: Sequence[str],
        speculative: Mapping[str, SpeculativePass] | None = None,
    ) -> None:
        self.vad = vad
        self.wake = wake
        self.readers = {module.name: module for module in readers}
        self._defaults = defaults
        self.speculative = speculative or {}
        """By the name of the pass whose windows are begun."""

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of the modules that can be asked for."""
        wake = ("wake",) if self.wake else ()
        return ("vad", *wake, *self.readers)

    def resolve(
        self,
        request: Mapping[str, Mapping[str, Any] | bool] | None,
        base: ModuleSet | None = None,
        words: CustomWords = NO_WORDS,
    ) -> tuple[ModuleSet, list[tuple[str, str]]]:
        """A client's `modules` to a set.

        Args:
            request: by name, an object of options, or False for off. None asks for the
                server's defaults.
            base: what was on before (a `config` message leaves alone what it does not
                name); None where the request says all (`hello`).
            words: wake words of the user's own, as they are now.

        Returns:
            The set, and warnings as (code, message).

        Raises:
            BadConfig: a wrong type or a value out of range.
        """
        if request is None:
            request = {name: {} for name in self._defaults if name in self.loaded}
        base = base or ModuleSet()
        vad, wake, readers = base.vad, base.wake, dict(base.readers)
        warnings: list[tuple[str, str]] = []
        for name, options in request.items():
            if name not in KNOWN:
                warnings.append(
                    ("unknown_module", f"unknown module {name!r}; known: {', '.join(KNOWN)}")
                )
                continue
            is_on = options is not False
            wanted: Mapping[str, Any] = options if isinstance(options, Mapping) else {}
            if is_on and name not in self.loaded:
                warnings.append(
                    (
                        "module_unavailable",
                        f"module {name!r} is not available on this server: it has no model",
                    )
                )
                continue
            if name == "vad":
                vad = _take(self.vad.parse(wanted), warnings) if is_on else None
            elif name == "wake":
                assert self.wake is not None or not is_on
                wake = (
                    _take(self.wake.parse(wanted, words), warnings) if is_on and self.wake else None
                )
            elif is_on:
                readers[name] = _take(self.readers[name].parse(wanted), warnings)
            else:
                readers.pop(name, None)
        ordered = {name: readers[name] for name in self.readers if name in readers}
        return ModuleSet(vad, wake, ordered), warnings

    def describe(self, modules: ModuleSet) -> dict[str, dict[str, Any]]:
        """The `modules` of `ready`."""
        described = {}
        if modules.vad is not None:
            described["vad"] = self.vad.describe(modules.vad)
        if modules.wake is not None and self.wake is not None:
            described["wake"] = self.wake.describe(modules.wake)
        for name, options in modules.readers.items():
            described[name] = self.readers[name].describe(options)
        return described


def _take(parsed: tuple[Any, list[tuple[str, str]]], warnings: list[tuple[str, str]]) -> Any:
    options, more = parsed
    warnings.extend(more)
    return options
