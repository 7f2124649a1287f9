"""Names of people, files and folders are shown as they are, whatever they look like."""

import ast
import io
import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli
from daemons import DATA

import streamd
from streamd.cli.progress import bars
from streamd.display import display_name
from streamd.evaluation.report import Report, Table, show
from streamd.store import open_store
from streamd.store.base import Enrolment
from streamd.view import JsonLines, LiveView
from streamd.view.console import PlainConsole, json_text

NAME = "Bob [/b] [red]x[/] [guest] :smile: \\[x]"
FILE = f"{NAME}\x1b[31m\x9b\u202e.flac".replace("/", "|")
SHOWN_FILE = f"{NAME}␛[31m\ufffd\ufffd.flac".replace("/", "|")
MODEL = "ge2e-resemblyzer-0.1.4"


def plain(text: str) -> str:
    """Check that a terminal has nothing to obey in it."""
    assert not {"\x1b", "\r", "\x9b", "\u202e"} & set(text), repr(text)
    return text


@pytest.fixture
def home(cli: Cli) -> Cli:
    """A data directory in which somebody of that name is enrolled."""
    with closing(open_store(cli.home / "streamd.db", cli.home / "key")) as store:
        enrolment = Enrolment(np.ones(256, np.float32), MODEL, "wide", 9000, "x.wav")
        store.enrol(NAME, [enrolment], {})
    return cli


def test_speakers_shows_renames_and_deletes_any_name(home: Cli) -> None:
    assert NAME in plain(home("speakers").out)
    assert [row["name"] for row in json.loads(home("speakers", "--json").out)] == [NAME]
    other = home("speakers", speaker__model="campplus")
    assert NAME in plain(other.err)
    assert NAME in plain(home("speakers", "rename", NAME, f"{NAME}2").err)
    assert f"{NAME}2" in plain(home("speakers", "delete", f"{NAME}2").err)
    gone = home("speakers", "delete", NAME)
    assert repr(NAME) in plain(gone.err)


def test_enroll_shows_any_name_and_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / FILE
    shutil.copy(DATA / "speech_slt.flac", file)
    done = cli("enroll", NAME, file)
    assert done.code == 0
    assert f"{NAME}: " in plain(done.err)
    assert display_name(FILE) in done.err
    assert NAME in cli("speakers").out


@pytest.mark.parametrize(
    "command", [["analyze"], ["stream"], ["enroll", "ann"], ["stream", "--fast"]]
)
def test_a_file_that_is_missing_is_named_as_it_is(cli: Cli, command: list[str]) -> None:
    done = cli(*command, FILE)
    assert done.code == 6
    assert f"{SHOWN_FILE}: no such file" in plain(done.err)


def test_words_and_models_show_what_was_asked_for(cli: Cli, tmp_path: Path) -> None:
    assert repr(NAME) in plain(cli("words", "remove", NAME).err)
    assert repr(NAME) in plain(cli("words", "add", NAME, "a", "b", "c").err)
    assert repr(NAME) in plain(cli("models", "pull", NAME, "--to", tmp_path / "m").err)
    folder = tmp_path / FILE
    assert SHOWN_FILE in plain(cli("models", STREAMD_MODELS=folder).out)
    assert SHOWN_FILE in plain(cli("models", "verify", STREAMD_MODELS=folder).err)


def test_doctor_and_config_show_any_path(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / FILE
    file.write_text('[store]\npath = "[red]x[/].db"\n', encoding="utf-8")
    config = {"STREAMD_CONFIG": file, "STREAMD_MODELS": tmp_path / "none"}
    assert SHOWN_FILE in plain(cli("doctor", **config).out)
    checked = plain(cli("config", "check", **config).out)
    assert SHOWN_FILE in checked
    assert "[red]x[/].db" in checked
    file.write_text("[nonsense]\n", encoding="utf-8")
    assert SHOWN_FILE in plain(cli("config", "check", **config).err)


def test_eval_shows_any_path_and_label(cli: Cli, tmp_path: Path) -> None:
    manifest = tmp_path / FILE
    manifest.write_text(f"path,label,speaker\n{NAME}.wav,speech,ann\n", encoding="utf-8")
    done = cli("eval", "vad", manifest)
    assert done.code == 2
    assert SHOWN_FILE in plain(done.err)
    assert f"{NAME}.wav" in done.err
    console = PlainConsole(file=io.StringIO(), width=200)
    figures = {
        "module": "vad", "conditions": [NAME], "rows": 1, "manifest": FILE,
        "bootstrap": {"unit": NAME}, "models": {},
    }  # fmt: skip
    show(console, Report(figures, [Table(NAME, (NAME, "n"), [(NAME, FILE)], note=NAME)]))
    printed = plain(console.file.getvalue())
    assert printed.count(NAME) == 6
    assert printed.count(SHOWN_FILE) == 2


def test_the_live_view_shows_any_name_word_and_message() -> None:
    for width in (60, 120):
        console = PlainConsole(file=io.StringIO(), width=width)
        view = LiveView(console)
        start = {"t0": 0, "t1": 10, "at": 10}
        speaker = {"type": "speaker", "decision": "accept", "speaker": NAME, "score": 0.9, **start}
        view.event({"type": "ready", "session": FILE, "modules": {NAME: {}}})
        view.event(speaker)
        view.event({"type": "speaker_change", "from": NAME, "to": FILE, **start})
        view.event({"type": "wake", "word": FILE, "score": 1, "speaker": NAME, **start})
        view.event({"type": "error", "code": NAME, "message": FILE})
        view.event({"type": NAME, "x": FILE})
        view.event({"type": "bye"})
        console.print(view._strip())
        printed = plain(console.file.getvalue())
        assert all(len(line.rstrip()) <= width for line in printed.splitlines())
        assert NAME.split(" :")[0] in " ".join(printed.split())


def test_json_lines_carry_any_name_whole_and_escape_what_a_terminal_obeys() -> None:
    out = io.StringIO()
    JsonLines(out).event({"speaker": FILE, "word": "caf\udce9"})
    assert json.loads(plain(out.getvalue())) == {"speaker": FILE, "word": "caf\udce9"}
    assert json_text("Änne 你好") == '"Änne 你好"'


def test_progress_shows_any_label() -> None:
    with bars(is_shown=False) as progress:
        progress.add_task(FILE, total=None)
        console = PlainConsole(file=io.StringIO(), width=200)
        console.print(progress.get_renderable())
    assert SHOWN_FILE in plain(console.file.getvalue())


def test_only_one_file_makes_consoles_and_none_reads_markup() -> None:
    """Whatever is printed goes through `PlainConsole`, where strings have no markup."""
    makers = {"Console", "TextColumn", "from_markup", "render_markup"}
    root = Path(streamd.__file__).parent
    found = set()
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if called in makers:
                    found.add((file.relative_to(root).as_posix(), called))
    assert found == set()
