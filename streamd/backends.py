"""The backends that a configuration names, loaded when they are needed."""

from __future__ import annotations

import importlib

from streamd.config.sections import EngineConfig
from streamd.engine.backends.base import GraphBackend
from streamd.engine.idle import IdleModels, unloading
from streamd.engine.local import LIVE_PASSES
from streamd.errors import ConfigError

BACKENDS = {"onnxruntime": "OnnxRuntime", "torch": "Torch", "mindspore": "MindSpore"}
"""Backends by the name of their file, with the class in it."""
OPTIONAL_BACKENDS = frozenset({"mindspore", "torch"})
"""Backends whose framework comes with the extra of the same name."""


class Backends:
    """The backends that a configuration names, each loaded once.

    Args:
        engine: The section of the configuration that names them.
        models: All models of the process, which unloads those that are idle; None keeps all. Voice
            activity and wake words never wait for a model.
    """

    def __init__(self, engine: EngineConfig, models: IdleModels | None = None) -> None:
        self._models = models
        self._engine = engine
        self._named = {str(name): backend for name, backend in engine.backends.items()}
        self._loaded: dict[str, GraphBackend] = {}

    def of(self, pass_name: str) -> GraphBackend:
        """Return the backend of a pass.

        Raises:
            ConfigError: There is no such backend, or its framework is not installed.
        """
        key, name = "engine.backend", self._engine.backend
        if pass_name in self._named:
            key, name = f"engine.backends.{pass_name}", self._named[pass_name]
        if name not in self._loaded:
            self._loaded[name] = load_backend(name, key, self._engine)
        backend = self._loaded[name]
        if self._models is None:
            return backend
        return unloading(backend, self._models, stays=pass_name in LIVE_PASSES)


def load_backend(
    name: str, key: str = "engine.backend", engine: EngineConfig | None = None
) -> GraphBackend:
    """Return a backend by its name; its framework is imported here, and only now.

    Args:
        name: Name of its file.
        key: Key of the configuration that names it.
        engine: The section of the configuration with the settings of backends.

    Raises:
        ConfigError: There is no such backend, its framework is not installed, or its settings name
            a device that is not there.
    """
    if name not in BACKENDS:
        raise ConfigError(f"{key}: unknown backend {name!r}; available: {', '.join(BACKENDS)}")
    try:
        module = importlib.import_module(f"streamd.engine.backends.{name}")
    except ImportError as error:
        raise ConfigError(
            f"{key} {name!r} cannot be loaded: {error}. {_install(name)}".rstrip()
        ) from error
    settings = getattr(engine, name, None)
    make = getattr(module, BACKENDS[name])
    backend: GraphBackend = make() if settings is None else make(settings)
    return backend


def _install(backend: str) -> str:
    """Return what to do about a backend whose framework is not there; empty if streamd has it."""
    if backend not in OPTIONAL_BACKENDS:
        return ""
    return f"It needs a package: pip install 'streamd-voice[{backend}]'"
