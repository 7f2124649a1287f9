"""The speaker networks of the installed ModelScope package, out of its own source files.

`import modelscope.models` needs packages that ModelScope does not declare, and a torchaudio that
imports. The network of a model is in one file, and needs torch alone: its classes are made of that
file as it is, without the wrapper that registers it.
"""

import ast
import importlib.util
import types
from pathlib import Path
from typing import Any

_FOLDER = ("models", "audio", "sv")
_WANTED = {"collections", "math", "numpy", "torch", "typing"}


def network(file: str, **given: Any) -> types.SimpleNamespace:
    """Return the classes and functions of a file of `modelscope/models/audio/sv`.

    Args:
        file: its name, without `.py`.
        given: what it imports from other files of the package.
    """
    found = importlib.util.find_spec("modelscope")
    assert found is not None
    assert found.submodule_search_locations
    path = Path(found.submodule_search_locations[0]).joinpath(*_FOLDER, f"{file}.py")
    tree = ast.parse(path.read_bytes())
    tree.body = [node for node in tree.body if _is_network(node)]
    names: dict[str, Any] = dict(given)
    exec(compile(tree, str(path), "exec"), names)
    return types.SimpleNamespace(**names)


def campplus() -> Any:
    """Return `CAMPPlus`, the class."""
    layers = network("DTDNN_layers")
    return network("DTDNN", **vars(layers)).CAMPPlus


def eres2netv2() -> Any:
    """Return `ERes2NetV2`, the class."""
    pooling, fusion = network("pooling_layers"), network("fusion")
    return network("ERes2NetV2", pooling_layers=pooling, AFF=fusion.AFF).ERes2NetV2


def _is_network(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        return all(name.name.split(".")[0] in _WANTED for name in node.names)
    if isinstance(node, ast.ImportFrom):
        return str(node.module).split(".")[0] in _WANTED
    if isinstance(node, ast.ClassDef):
        return not node.decorator_list
    return isinstance(node, ast.FunctionDef)
