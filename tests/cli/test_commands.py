"""A command imports its own file and not the others': a start should not wait for them."""

import subprocess
import sys

import pytest
from conftest import Cli

from streamd.cli.main import COMMANDS, make_app

SAYS_WHAT_IS_IMPORTED = """
import sys
from streamd.cli.main import make_app
make_app(*sys.argv[1:])
print(*(name for name in sys.modules if name.startswith(("streamd.", "av", "onnx"))))
"""


def imported(*args: str) -> set[str]:
    command = [sys.executable, "-c", SAYS_WHAT_IS_IMPORTED, *args]
    return set(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())


def test_serving_imports_nothing_that_other_commands_want() -> None:
    modules = imported("serve")

    assert "streamd.cli.serve" in modules
    assert not {"streamd.cli.bench", "streamd.evaluation", "streamd.words", "av", "onnx"} & modules


@pytest.mark.parametrize("args", [(), ("--help",), ("sevre",)])
def test_where_no_command_is_named_all_are_there(args: tuple[str, ...]) -> None:
    assert {f"streamd.cli.{n}" for n in ("serve", "evaluate", "words", "doctor")} <= imported(*args)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_there_by_its_name_alone_and_among_all(name: str, cli: Cli) -> None:
    assert cli(name, "--help").code == 0
    everything = make_app()
    names = {c.name for c in everything.registered_commands}
    assert name in names | {g.name for g in everything.registered_groups}


def test_help_lists_every_command(cli: Cli) -> None:
    assert all(f"│ {name} " in cli("--help").out for name in COMMANDS)
