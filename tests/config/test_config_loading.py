"""Where each value comes from, and that the commented file shows the built-in defaults."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import streamd.config.loading as loading
from streamd.config import Config, describe, load
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


def test_a_short_ring_lowers_how_late_a_window_may_be() -> None:
    assert load(None, {}).longest_lag_ms == Config().limits.max_lag_ms
    assert load(None, {"STREAMD_SESSION__RING_S": "5"}).longest_lag_ms == 2000
    assert load(None, {"STREAMD_SESSION__RING_S": "2"}).longest_lag_ms == 100


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
    "float from int": ("STREAMD_STORE__POLL_S", "1", "store.poll_s", 1.0),
    "bool": ("STREAMD_VAD__GATE", "false", "vad.gate", False),
    "plain string": ("STREAMD_SERVER__HOST", "0.0.0.0", "server.host", "0.0.0.0"),
    "quoted string": ("STREAMD_SERVER__HOST", '"::1"', "server.host", "::1"),
    "string that reads as a number": (
        "STREAMD_STORE__PATH",
        "2024",
        "store.path",
        f"{Path.cwd()}/2024",
    ),
    "string that reads as a date": (
        "STREAMD_STORE__PATH",
        "2024-01-01",
        "store.path",
        f"{Path.cwd()}/2024-01-01",
    ),
    "empty": ("STREAMD_STORE__PATH", "", "store.path", ""),
    "no second line": ("STREAMD_SERVER__HOST", "'a'\nb = 1", "server.host", "'a'\nb = 1"),
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


def test_a_relative_path_of_a_file_is_relative_to_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = tmp_path / "etc", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "f.toml").write_text("[store]\npath = 'v.db'\n[emotion]\nmodel = '../e.npz'\n")
    for current, file in ((elsewhere, folder / "f.toml"), (tmp_path, Path("etc/f.toml"))):
        monkeypatch.chdir(current)
        config = load(file, {})
        assert config.store.path == str(folder / "v.db")
        assert Path(config.emotion.model).resolve() == tmp_path / "e.npz"
    config = load(folder / "f.toml", {"STREAMD_STORE__PATH": "v.db"})
    assert config.store.path == str(tmp_path / "v.db"), "of the environment: the current directory"


def test_a_path_may_begin_with_the_home(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text("[store]\npath = '~/v.db'\n")
    home = {"HOME": str(tmp_path)}
    assert load(Path("~/f.toml"), home).store.path == str(tmp_path / "v.db")
    assert load(None, {**home, "STREAMD_CONFIG": "~/f.toml"}).source == str(file)
    file.write_text("[store]\npath = '~nobody-at-all/v.db'\n")
    with pytest.raises(ConfigError, match=r"f.toml:2: store.path: .*no user 'nobody-at-all'"):
        load(file, home)
