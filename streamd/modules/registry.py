"""The registry: the modules of the server, and which of them a session has on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from streamd.front_ends import FrontEnds
from streamd.modules.base import Module, ReaderModule, SpeculativePass
from streamd.modules.stateful import StatefulModule
from streamd.modules.stepper import StepperModule
from streamd.modules.vad import VadModule
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.validation import quoted

PROTOCOL = ("vad", "wake", "speaker", "emotion", "transcript")
"""The modules of the protocol, whether loaded or not."""

ModuleSet: TypeAlias = Mapping[str, Any]
"""The modules that are on in a session: options by the module's name, in the registry's order."""

NO_FRONT_ENDS = FrontEnds()

ModuleT = TypeVar("ModuleT", bound=Module)


class Registry:
    """Holds the modules of a server. All sessions share it, and nothing changes it.

    Args:
        vad: The module whose decisions make utterances. It always runs; where it is off, its
            edges are not reported.
        steppers: The other modules that walk over the whole stream, in the order of their calls.
        readers: The modules that read windows of speech, in the order of their calls.
        defaults: Names of those that are on if a client names none.
        speculative: Speculative passes, by the name of the pass whose windows they begin.
        stateful: The modules whose passes carry a state along an utterance.
        front_ends: What can make the audio clean before the modules read it.
    """

    def __init__(
        self,
        vad: VadModule,
        steppers: Sequence[StepperModule],
        readers: Sequence[ReaderModule],
        defaults: Sequence[str],
        speculative: Mapping[str, SpeculativePass] | None = None,
        stateful: Sequence[StatefulModule] = (),
        front_ends: FrontEnds = NO_FRONT_ENDS,
    ) -> None:
        self.vad = vad
        self.steppers = {module.name: module for module in steppers}
        self.readers = {module.name: module for module in readers}
        self.stateful = {module.name: module for module in stateful}
        self.modules: Mapping[str, Module] = {
            vad.name: vad,
            **self.steppers,
            **self.readers,
            **self.stateful,
        }
        """The modules that a client can ask for, by name."""
        self.speculative = speculative or {}
        self.front_ends = front_ends
        self.defaults = tuple(name for name in defaults if name in self.modules)
        """Names of the modules that are on if a client names none."""

    def find(self, kind: type[ModuleT]) -> ModuleT | None:
        """Return the module of a class, if there is one."""
        return next((m for m in self.modules.values() if isinstance(m, kind)), None)

    def resolve(
        self,
        request: Mapping[str, Mapping[str, Any] | bool] | None,
        base: ModuleSet | None = None,
        words: CustomWords = NO_WORDS,
    ) -> tuple[ModuleSet, list[tuple[str, str]]]:
        """Return the modules that a client's `modules` turns on.

        Args:
            request: by name, an object of options, or False for off. None asks for the
                server's defaults.
            base: what was on before, because a `config` message changes only what it names; None
                for a `hello`.
            words: wake words of the user's own, as they are now.

        Returns:
            The set, and warnings as (code, message).

        Raises:
            BadConfig: a wrong type or a value out of range.
        """
        if request is None:
            request = {name: {} for name in self.defaults}
        chosen = dict(base or {})
        known = tuple(dict.fromkeys((*PROTOCOL, *self.modules)))
        warnings: list[tuple[str, str]] = []
        for name, options in request.items():
            if name not in known:
                warnings.append(
                    ("unknown_module", f"unknown module {quoted(name)}; known: {', '.join(known)}")
                )
            elif options is False:
                chosen.pop(name, None)
            elif name not in self.modules:
                warnings.append(
                    (
                        "module_unavailable",
                        f"module {name!r} is not available on this server: it has no model",
                    )
                )
            else:
                wanted = options if isinstance(options, Mapping) else {}
                chosen[name], more = self.modules[name].parse(wanted, words)
                warnings.extend(more)
        return {name: chosen[name] for name in self.modules if name in chosen}, warnings

    def describe(self, modules: ModuleSet) -> dict[str, dict[str, Any]]:
        """Return the `modules` of `ready`."""
        return {name: self.modules[name].describe(options) for name, options in modules.items()}
