"""Each mistake in a configuration is answered with its place, its key and what was expected."""

import json
from pathlib import Path

import pytest

from streamd.config import load
from streamd.errors import ConfigError
from streamd.live.revocation import LOOK_S

FILE_MISTAKES = {
    "unknown key": (
        '[server]\nhost = "::1"\n\nprot = 1',
        4,
        "server.prot: unknown key; did you mean server.port?",
    ),
    "unknown section": (
        "# x\n[sever]\nport = 1\nhost = 2",
        2,
        "sever: unknown section; did you mean server?",
    ),
    "unknown empty section": (
        "\n[modules]",
        2,
        "modules: unknown section; did you mean session.modules?",
    ),
    "key outside of its section": (
        "port = 1",
        1,
        "port: unknown section; did you mean server.port?",
    ),
    "nothing like it": (
        "[log]\nzzz = 1",
        2,
        "log.zzz: unknown key; expected one of level, format",
    ),
    "unknown nested key": (
        "[speaker.thresholds.wide]\naccept = 0.8\n[speaker.thresholds.narow]\naccept = 1",
        3,
        "speaker.thresholds.narow: unknown key; did you mean speaker.thresholds.narrow?",
    ),
    "wrong type": (
        '[server]\nport = "8765"',
        2,
        'server.port: expected a whole number from 0 to 65535, got "8765"',
    ),
    "float for int": (
        "[limits]\nidle_s = 1.5",
        2,
        "limits.idle_s: expected a whole number from 1 to 86400, got 1.5",
    ),
    "bool for int": (
        "[limits]\nidle_s = true",
        2,
        "limits.idle_s: expected a whole number from 1 to 86400, got true",
    ),
    "int for bool": ("[vad]\n\n\ngate = 1", 4, "vad.gate: expected true or false, got 1"),
    "above range": (
        "[server]\nport = 70000",
        2,
        "server.port: expected a whole number from 0 to 65535, got 70000",
    ),
    "below range": (
        "vad.gate_dbfs = -200",
        1,
        "vad.gate_dbfs: expected a number from -120 to 0, got -200",
    ),
    "not a number": ("[vad]\non = nan", 2, "vad.on: expected a number from 0 to 1, got nan"),
    "infinite": (
        "[server]\ndrain_s = inf",
        2,
        "server.drain_s: expected a number from 0 to 3600, got inf",
    ),
    "not a choice": (
        '[log]\nlevel = "loud"',
        2,
        'log.level: expected one of "debug", "error", "info", "warning", got "loud"',
    ),
    "wrong item": (
        '[server]\norigins = [\n  "https://a.org",\n  "a.org"\n]',
        2,
        "server.origins.1: expected an origin without a path, as "
        '"https://example.org:8443", "tauri://localhost" or "null", got "a.org"',
    ),
    "value for a list": (
        "[wake]\nwords = 5",
        2,
        "wake.words: expected a list, each item a string of 1 to 64 characters, got 5",
    ),
    "no proxy": (
        '[server]\ntrusted_proxies = ["127.0.0.1", "10.0.0.0/33"]',
        2,
        'server.trusted_proxies: expected addresses or networks, as "127.0.0.1" or "10.0.0.0/8", '
        'got "10.0.0.0/33"',
    ),
    "no network": (
        '[access]\nallow_ips = ["::1", "everybody"]',
        2,
        'access.allow_ips: expected addresses or networks, as "127.0.0.1" or "10.0.0.0/8", '
        'got "everybody"',
    ),
    "empty string": (
        '[server]\nhost = ""',
        2,
        'server.host: expected a string of 1 to 255 characters, got ""',
    ),
    "table for value": (
        "[server.port]\na = 1",
        1,
        "server.port: expected a whole number from 0 to 65535, got a table",
    ),
    "value for table": ("server = 5", 1, "server: expected a table, got 5"),
    "entry of a free table": (
        "[wake.thresholds]\nalexa = 0.5\ntimer = 2",
        3,
        "wake.thresholds.timer: expected a number from 0 to 1, got 2",
    ),
    "entry of an inline table": (
        "[wake]\npatiences = { alexa = 0 }",
        2,
        "wake.patiences.alexa: expected a whole number from 1 to 25, got 0",
    ),
    "entry that a table does not have": (
        '[engine]\nbackends = { voiceprnt = "torch" }',
        2,
        "engine.backends.voiceprnt: unknown key; did you mean engine.backends.voiceprint?",
    ),
    "value for free table": (
        "[wake]\nthresholds = 1",
        2,
        "wake.thresholds: expected a table, each value a number from 0 to 1, got 1",
    ),
    "quoted key": (
        '[wake.thresholds]\n"hey jarvis" = "x"',
        2,
        'wake.thresholds.hey jarvis: expected a number from 0 to 1, got "x"',
    ),
    "off above on": ("[vad]\non = 0.3", 2, "vad.off: 0.35 is above vad.on = 0.3"),
    "lag above what the ring keeps": (
        "[limits]\nmax_lag_ms = 6000",
        2,
        "limits.max_lag_ms: 6000 is above 5000, which session.ring_s = 8 allows: the ring keeps 3 "
        "s more. Lower it, raise session.ring_s to 9, or set 0 to leave out nothing",
    ),
    "lag above what a short ring keeps": (
        "[limits]\nmax_lag_ms = 1001\n[session]\nring_s = 4",
        2,
        "limits.max_lag_ms: 1001 is above 1000, which session.ring_s = 4 allows: the ring keeps 3 "
        "s more. Lower it, raise session.ring_s to 5, or set 0 to leave out nothing",
    ),
    "lag that nobody can keep": (
        "[limits]\nmax_lag_ms = 99",
        2,
        "limits.max_lag_ms: expected 0, for no bound, or at least 100, got 99",
    ),
    "reject above accept": (
        "[speaker.thresholds.narrow]\nreject = 0.9",
        2,
        "speaker.thresholds.narrow.reject: 0.9 is above speaker.thresholds.narrow.accept = 0.8",
    ),
    "word not loaded": (
        '[wake]\nload = ["timer"]',
        2,
        "wake.words: 'alexa' is not in wake.load (timer)",
    ),
    "threshold of a word not loaded": (
        "[wake]\n[wake.thresholds]\nalexa = 0.4\nalexia = 0.4",
        4,
        "wake.thresholds.alexia: 'alexia' is not in wake.load (alexa, hey_jarvis, hey_mycroft, "
        "hey_marvin, weather, timer)",
    ),
    "nothing to listen for": (
        "[wake]\nwords = []",
        2,
        "wake.words: empty: name what a client listens for that names no word; to have no wake "
        "words at all, empty wake.load too",
    ),
    "text without a model": (
        '[session]\nmodules = ["vad", "transcript"]',
        2,
        'session.modules: "transcript" needs a model: set transcript.model, or leave the module '
        "out",
    ),
    "window longer than the model takes": (
        "[speaker]\nwindow_ms = 3000",
        2,
        "speaker.window_ms: expected a whole number from 400 to 1600, got 3000",
    ),
    "syntax": (
        '[server]\nhost = "a"\nport 1',
        3,
        "not valid TOML: Expected '=' after a key in a key/value pair",
    ),
    "syntax at the end": ("[server]\nport =", 2, "not valid TOML: Invalid value"),
    "duplicate key": (
        "[server]\nport = 1\nport = 2",
        3,
        "not valid TOML: Cannot overwrite a value",
    ),
}


@pytest.mark.parametrize(("text", "line", "problem"), FILE_MISTAKES.values(), ids=FILE_MISTAKES)
def test_a_mistake_in_the_file_is_shown_with_its_line(
    tmp_path: Path, text: str, line: int, problem: str
) -> None:
    file = tmp_path / "streamd.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert str(caught.value) == f"{file}:{line}: {problem}"


ENVIRONMENT_MISTAKES = {
    "unknown pass": (
        "STREAMD_ENGINE__BACKENDS",
        '{mood = "torch"}',
        "engine.backends.mood: unknown key; expected one of vad, wake, keyword, voice, voiceprint, "
        "transcript",
    ),
    "unknown key": (
        "STREAMD_SERVER__PROT",
        "1",
        "server.prot: unknown key; did you mean server.port?",
    ),
    "unknown section": ("STREAMD_SEVER__PORT", "1", "sever: unknown section; did you mean server?"),
    "range": (
        "STREAMD_SERVER__PORT",
        "-1",
        "server.port: expected a whole number from 0 to 65535, got -1",
    ),
    "type": ("STREAMD_VAD__GATE", "yes", 'vad.gate: expected true or false, got "yes"'),
    "nested": (
        "STREAMD_SPEAKER__THRESHOLDS__WIDE__ACCEPT",
        "2",
        "speaker.thresholds.wide.accept: expected a number from -1 to 1, got 2",
    ),
    "too deep": (
        "STREAMD_SERVER__PORT__X",
        "1",
        "server.port: expected a whole number from 0 to 65535, got a table",
    ),
    "inline table": (
        "STREAMD_WAKE__THRESHOLDS",
        "{ alexa = 7 }",
        "wake.thresholds.alexa: expected a number from 0 to 1, got 7",
    ),
    "contradiction": ("STREAMD_VAD__ON", "0.1", "vad.off: 0.35 is above vad.on = 0.1"),
}


def test_revocation_is_never_slower_than_promised() -> None:
    """A revoked key's streams end within 2 s: a look at the store, and one at the sockets."""
    with pytest.raises(ConfigError, match=r"store.poll_s: expected a number from 0.05 to 1, got"):
        load(None, {"STREAMD_STORE__POLL_S": "1.1"})
    assert load(None, {}).store.poll_s + LOOK_S < 2


@pytest.mark.parametrize(
    ("name", "value", "problem"), ENVIRONMENT_MISTAKES.values(), ids=ENVIRONMENT_MISTAKES
)
def test_a_mistake_in_the_environment_is_shown_with_its_variable(
    name: str, value: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {name: value})
    assert str(caught.value) == f"{name}: {problem}"


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text("[vad]\nonn = 1\ngate = 2\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {"STREAMD_LOG__LEVEL": "x"})
    places = [line.split(": ")[0] for line in str(caught.value).splitlines()]
    assert places == [f"{file}:2", f"{file}:3", "STREAMD_LOG__LEVEL"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read: No such file"):
        load(missing, {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {})
    with pytest.raises(ConfigError, match=r"STREAMD_CONFIG: no such file: .*missing\.toml"):
        load(None, {"STREAMD_CONFIG": str(missing)})
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.toml: not UTF-8, as TOML must be: byte 5"):
        load(latin, {})


ORIGINS = [
    "null",
    "https://example.org",
    "http://example.org:8080",
    "https://example.org/",
    "http://[::1]:8765",
    "http://127.0.0.1:3000",
    "tauri://localhost",
    "capacitor://localhost",
    "ionic://localhost",
    "app://obsidian.md",
    "app://.",
    "app://-",
    "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    "moz-extension://0a1b2c3d-0000-4000-8000-123456789abc",
]
NO_ORIGINS = [
    "",
    "*",
    "https://*.example.org",
    "example.org",
    "https://",
    "https:example.org",
    "https://example.org/page",
    "https://example.org?x",
    "https://example.org#x",
    "https://user@example.org",
    "https://example.org:",
    "https://example.org:port",
    "https://example.org:0",
    "https://exa mple.org",
    "https://example.org\n",
    "//example.org",
    "ws://example.org",
    "wss://example.org",
    "file://",
    "file://localhost",
    "data://x",
    "null://x y",
]


@pytest.mark.parametrize("origin", ORIGINS)
def test_an_origin_is_taken(origin: str) -> None:
    config = load(None, {"STREAMD_SERVER__ORIGINS": json.dumps([origin])})
    assert config.server.origins == (origin,)


@pytest.mark.parametrize("origin", NO_ORIGINS)
def test_what_is_no_origin_is_refused_and_it_says_what_is_one(origin: str) -> None:
    with pytest.raises(ConfigError, match=r"origins\.0: expected an origin without a path"):
        load(None, {"STREAMD_SERVER__ORIGINS": json.dumps([origin])})
