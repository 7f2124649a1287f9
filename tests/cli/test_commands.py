"""A command imports its own file and not the others': a start should not wait for them."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Cli
from daemons import environment

from streamd.cli.main import COMMANDS, load

RUNS_AND_SAYS_WHAT_IS_IMPORTED = """
import sys
from streamd.cli import main
try:
    main()
finally:
    print("\\nimported", *sys.modules)
"""
HEAVY = {"numpy", "onnxruntime", "aiohttp", "av", "onnx", "soundfile", "websockets", "uvloop"}


def imported(home: Path, *args: str) -> set[str]:
    """What a fresh process has imported once it has run a command."""
    done = subprocess.run(
        [sys.executable, "-c", RUNS_AND_SAYS_WHAT_IS_IMPORTED, *args],
        env=environment(home),
        capture_output=True,
        check=False,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return set(done.stdout.rpartition("\nimported")[2].split())


def test_serving_imports_nothing_that_other_commands_want(tmp_path: Path) -> None:
    modules = imported(tmp_path, "serve", "--help")

    assert "streamd.cli.serve" in modules
    assert (
        not {"streamd.cli.bench", "streamd.evaluation", "streamd.words.making", "av", "onnx"}
        & modules
    )


@pytest.mark.parametrize(
    "args", [(), ("--help",), ("--version",), ("no_such_command",), ("config", "check")], ids=str
)
def test_what_needs_no_models_imports_nothing_heavy(args: tuple[str, ...], tmp_path: Path) -> None:
    modules = imported(tmp_path, *args)

    assert "streamd.cli.main" in modules
    assert not HEAVY & modules


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_of_each_what_its_own_help_says_first(
    name: str, cli: Cli
) -> None:
    first = load(name).help.split("\n\n")[0]

    assert " ".join(first.split()) == COMMANDS[name].summary
    assert cli(name, "--help").code == 0


def test_help_lists_every_command(cli: Cli) -> None:
    assert all(f"│ {name} " in cli("--help").out for name in COMMANDS)
