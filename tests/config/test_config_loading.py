"""Where each value comes from, and that the commented file shows the built-in defaults."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import streamd.config.loading as loading
from streamd.config import Config, data_dir, describe, key_path, load, store_path
from streamd.config.loading import leaves
from streamd.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "config" / "streamd.toml"


@pytest.fixture(autouse=True)
def _no_system_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "SYSTEM_FILE", tmp_path / "none.toml")


def uncommented() -> str:
    return re.sub(r"^#(?=[a-z_]+ = )", "", SHIPPED.read_text(encoding="utf-8"), flags=re.MULTILINE)


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = tuple(value) if isinstance(value, list) else value
    return found


def test_the_shipped_file_shows_every_key_with_its_default_and_no_other() -> None:
    defaults = dict(leaves(Config()))
    shown = flat(tomllib.loads(uncommented()))
    assert shown == defaults
    assert {k: type(v) for k, v in shown.items()} == {k: type(v) for k, v in defaults.items()}


def test_the_shipped_file_changes_nothing_as_it_is(tmp_path: Path) -> None:
    assert load(SHIPPED, {}).origins == {}
    file = tmp_path / "all.toml"
    file.write_text(uncommented(), encoding="utf-8")
    assert dict(leaves(load(file, {}))) == dict(leaves(Config()))


def test_each_key_of_the_shipped_file_has_a_line_of_why_above_it() -> None:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    for above, line in pairwise(lines):
        if re.match(r"#[a-z_]+ = ", line):
            assert above.startswith("# "), line


def test_no_file_and_no_environment_are_the_defaults() -> None:
    config = load(None, {"HOME": "/x", "STREAMD_MODELS": "/m", "STREAMD_DATA": "/d"})
    assert config == Config()
    assert config.source == "built-in defaults"


def test_the_explicit_file_wins_over_the_environments_and_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"{port}.toml" for port in (1, 2, 3)]
    for file in files:
        file.write_text(f"[server]\nport = {file.stem}\n")
    explicit, named, system = files
    monkeypatch.setattr(loading, "SYSTEM_FILE", system)
    environ = {"STREAMD_CONFIG": str(named)}
    assert load(explicit, environ).server.port == 1
    assert load(None, environ).server.port == 2
    assert load(None, {"STREAMD_CONFIG": ""}).server.port == 3
    assert load(None, environ).source == str(named)


ENVIRONMENT = {
    "whole number": ("STREAMD_SERVER__PORT", "0", "server.port", 0),
    "float from int": ("STREAMD_STORE__POLL_S", "2", "store.poll_s", 2.0),
    "bool": ("STREAMD_VAD__GATE", "false", "vad.gate", False),
    "plain string": ("STREAMD_SERVER__HOST", "0.0.0.0", "server.host", "0.0.0.0"),
    "quoted string": ("STREAMD_SERVER__HOST", '"::1"', "server.host", "::1"),
    "string that reads as a number": ("STREAMD_STORE__PATH", "2024", "store.path", "2024"),
    "string that reads as a date": (
        "STREAMD_STORE__PATH",
        "2024-01-01",
        "store.path",
        "2024-01-01",
    ),
    "empty": ("STREAMD_STORE__PATH", "", "store.path", ""),
    "no second line": ("STREAMD_STORE__PATH", "'a'\nb = 1", "store.path", "'a'\nb = 1"),
    "list": ("STREAMD_WAKE__WORDS", '["timer", "alexa"]', "wake.words", ("timer", "alexa")),
    "nested": (
        "STREAMD_SPEAKER__THRESHOLDS__NARROW__ACCEPT",
        "0.8",
        "speaker.thresholds.narrow.accept",
        0.8,
    ),
    "entry": (
        "STREAMD_WAKE__THRESHOLDS__HEY_JARVIS",
        "0.6",
        "wake.thresholds",
        {"hey_jarvis": 0.6},
    ),
    "table": ("STREAMD_WAKE__PATIENCES", "{ timer = 2 }", "wake.patiences", {"timer": 2}),
}


@pytest.mark.parametrize(("name", "text", "key", "value"), ENVIRONMENT.values(), ids=ENVIRONMENT)
def test_the_environment_overrides_a_key(name: str, text: str, key: str, value: Any) -> None:
    row = {setting.key: setting for setting in describe(load(None, {name: text}))}[key]
    assert row.value == value
    assert type(row.value) is type(value)
    assert row.source == name


def test_describe_says_where_each_value_was_set(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text("[server]\nport = 9000\nhost = '::1'\n[wake.thresholds]\nalexa = 0.4\n")
    config = load(file, {"STREAMD_SERVER__PORT": "1", "STREAMD_WAKE__THRESHOLDS__TIMER": "0.7"})
    rows = {setting.key: setting[1:] for setting in describe(config)}
    assert rows["server.port"] == (1, 8765, "STREAMD_SERVER__PORT")
    assert rows["server.host"] == ("::1", "127.0.0.1", f"{file}:3")
    assert rows["server.drain_s"] == (10.0, 10.0, "default")
    assert rows["wake.thresholds"] == (
        {"alexa": 0.4, "timer": 0.7},
        {},
        f"{file}:5, STREAMD_WAKE__THRESHOLDS__TIMER",
    )
    assert list(rows) == [key for key, _ in leaves(Config())]


def test_data_goes_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    home = {"HOME": "/home/u"}
    monkeypatch.setattr("sys.platform", "linux")
    assert data_dir(home) == Path("/home/u/.local/share/streamd")
    assert data_dir({**home, "XDG_DATA_HOME": "/x"}) == Path("/x/streamd")
    assert data_dir({**home, "XDG_DATA_HOME": "relative"}) == Path("/home/u/.local/share/streamd")
    assert data_dir({"STREAMD_DATA": "/d", "XDG_DATA_HOME": "/x"}) == Path("/d")
    assert store_path("", {"STREAMD_DATA": "/d"}) == Path("/d/streamd.db")
    assert store_path("/v/voices.db", {"STREAMD_DATA": "/d"}) == Path("/v/voices.db")
    assert key_path({"STREAMD_DATA": "/d"}) == Path("/d/key")
    monkeypatch.setattr("sys.platform", "darwin")
    assert data_dir(home) == Path("/home/u/Library/Application Support/streamd")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ConfigError, match="STREAMD_DATA"):
        data_dir({})
