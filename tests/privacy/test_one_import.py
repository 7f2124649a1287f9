"""onnxruntime sends telemetry unless its environment forbids it, so one file imports it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BACKEND = Path("streamd/engine/backends/onnxruntime.py")


def imports(file: Path) -> set[str]:
    """Top-level names that a file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found


def test_onnxruntime_is_imported_in_one_file() -> None:
    folders = ("streamd", "benchmarks", "training", "tests")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    importing = {file.relative_to(ROOT) for file in files if "onnxruntime" in imports(file)}
    assert importing == {BACKEND}


def test_telemetry_is_off_whatever_the_environment_said() -> None:
    code = "import os, streamd.engine.backends.onnxruntime; print(os.environ[NAME])"
    name = "ORT_DISABLE_TELEMETRY"
    done = subprocess.run(
        [sys.executable, "-c", code.replace("NAME", repr(name))],
        env={**os.environ, name: "0"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout == "1\n"
