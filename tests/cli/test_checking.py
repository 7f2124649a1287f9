"""`config check`, `doctor`: what is wrong here, and where."""

import json
import socket
import sys

import pytest

from streamd.files.decoding import landlock


def test_config_check_shows_every_key_and_where_it_is_from(cli, tmp_path):
    file = tmp_path / "streamd.toml"
    file.write_text("[server]\nport = 9000\n")
    done = cli("config", "check", "--config", file, STREAMD_LIMITS__IDLE_S=7)
    assert done.code == 0
    assert f"{file}:2" in done.out
    assert "STREAMD_LIMITS__IDLE_S" in done.out
    assert "ok" in done.out


@pytest.mark.parametrize(
    ("text", "where", "key"),
    [
        ("[server]\n\nprot = 9000\n", ":3", "server.prot"),
        ('[server]\nport = "x"\n', ":2", "server.port"),
        ("[limits]\nidle_s = 0\n", ":2", "limits.idle_s"),
        ("[nonsense]\na = 1\n", ":1", "nonsense"),
        ("[server\n", ":1", ""),
        ('[wake]\nwords = ["abracadabra"]\n', ":2", "wake.words"),
    ],
)
@pytest.mark.parametrize("command", ["config check", "serve", "analyze x.wav"])
def test_a_bad_configuration_is_3_with_file_line_and_key(cli, tmp_path, text, where, key, command):
    file = tmp_path / "streamd.toml"
    file.write_text(text)
    done = cli(*command.split(), "--config", file)
    assert (done.code, done.out) == (3, "")
    assert f"{file}{where}" in done.err
    assert key in done.err


def test_a_bad_environment_is_3_with_its_name(cli):
    done = cli("config", "check", STREAMD_SERVER__PORT="seventy")
    assert done.code == 3
    assert "STREAMD_SERVER__PORT" in done.err
    assert cli("config", "check", "--config", "/nonexistent.toml").code in (2, 3)
    assert cli("config", "check", STREAMD_CONFIG="/nonexistent.toml").code in (2, 3)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_doctor_finds_nothing_wrong_here(cli):
    done = cli.process("doctor", STREAMD_SERVER__PORT=free_port())
    assert done.code == 0, done.out
    for what in ("config", "models", "store", "audit", "port", "disk", "microphone", "speed"):
        assert what in done.out
    assert "fail" not in done.out


@pytest.mark.parametrize(("version", "status"), [(0, "note"), (7, "ok")])
def test_doctor_says_whether_decoders_are_kept_from_files(cli, monkeypatch, version, status):
    monkeypatch.setattr(landlock, "version", lambda: version)
    done = cli("doctor", "--json", STREAMD_SERVER__PORT=free_port())
    (found,) = (check for check in json.loads(done.out) if check["check"] == "decoder")
    assert found["status"] == status
    assert "Landlock" in found["message"]


def cache_line(cli, url, **settings):
    done = cli(
        "doctor",
        "--json",
        STREAMD_CACHE__REDIS_URL=url,
        STREAMD_SERVER__PORT=free_port(),
        **settings,
    )
    (found,) = (check for check in json.loads(done.out) if check["check"] == "cache")
    return done.code, found["status"], found["message"]


def test_doctor_says_whether_redis_answers(cli):
    code, status, message = cache_line(cli, f"redis://user:secretword@127.0.0.1:{free_port()}/0")
    assert (code, status) == (0, "note"), "streamd works without it"
    assert "does not answer" in message
    assert "secretword" not in message
    assert cache_line(cli, "redis://host:port/0")[:2] == (3, "fail")


@pytest.mark.services
def test_doctor_says_that_redis_answers(cli, redis_server):
    code, status, message = cache_line(cli, redis_server.url)
    assert (code, status) == (0, "ok"), message
    assert message.endswith(" answers")


def test_doctor_names_the_package_that_redis_needs(cli, monkeypatch):
    import streamd.files as package

    monkeypatch.delattr(package, "voice_redis", raising=False)
    monkeypatch.delitem(sys.modules, "streamd.files.voice_redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    monkeypatch.setitem(sys.modules, "redis", None)
    code, status, message = cache_line(cli, "redis://127.0.0.1/0")
    assert (code, status) == (3, "fail")
    assert "pip install 'streamd-voice[redis]'" in message


def test_a_url_that_is_none_of_redis_is_3_and_not_shown(cli):
    done = cli("config", "check", STREAMD_CACHE__REDIS_URL="http://user:secretword@host")
    assert done.code == 3
    assert "cache.redis_url: expected a URL that begins with redis://" in done.err
    assert "secretword" not in done.err + done.out


def test_doctor_names_what_is_wrong(cli, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = cli("doctor", STREAMD_SERVER__PORT=taken.getsockname()[1])
    assert done.code == 8
    assert "in use" in done.out
    done = cli("doctor", STREAMD_MODELS=tmp_path / "none", STREAMD_SERVER__PORT=free_port())
    assert done.code == 7
    assert "streamd models pull" in done.out


@pytest.mark.parametrize("command", ["config check", "doctor"])
def test_a_host_that_serve_refuses_is_3(cli, command):
    done = cli(*command.split(), STREAMD_SERVER__HOST="0.0.0.0", STREAMD_SERVER__PORT=free_port())
    assert done.code == 3
    assert "not loopback" in done.err


@pytest.mark.parametrize("command", ["config check", "speakers"])
def test_no_command_shows_the_password_of_the_store(cli, command):
    url = "postgresql://user:secretword@127.0.0.1:1/voices"
    done = cli(*command.split(), STREAMD_STORE__URL=url)
    assert "postgresql://user@127.0.0.1:1/voices" in done.out + done.err
    assert "secretword" not in done.out + done.err
