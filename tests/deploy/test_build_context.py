"""What `.dockerignore` lets through is what the package is built from."""

import tomllib
from pathlib import Path

from images import context, is_sent

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_context_has_every_source_of_the_package() -> None:
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = PYPROJECT["project"]
    sources = {*wheel["packages"], *wheel["force-include"], *project["license-files"]}
    for path in {*sources, project["readme"], "pyproject.toml", "constraints.txt"}:
        assert is_sent(path), path


def test_the_context_has_nothing_else() -> None:
    tops = {file.parts[0] for file in context()}
    assert not tops & {".git", "tests", "docs", "benchmarks", "training", "deploy"}
    assert not is_sent("streamd/cli/__pycache__/main.cpython-311.pyc")
