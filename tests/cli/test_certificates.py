"""`streamd keys certificate`, and clients that trust what it made."""

import json
import os
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
from daemons import DATA, STREAMD, Daemon, environment
from fakes.certificates import Files, certificate
from waiting import HANG_S

SPEECH = str(DATA / "phrase_slt.flac")
MAKE = ("keys", "certificate")


def run(home: Path, *args: str, **settings: object) -> subprocess.CompletedProcess[str]:
    unset = {"server__tls_cert": "", "server__tls_key": ""}
    environ = environment(home, **unset | settings)
    environ.pop("SSL_CERT_FILE", None)
    return subprocess.run(
        [*STREAMD, *args],
        env=environ,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


def test_what_it_prints_is_a_configuration_that_serves(tmp_path: Path):
    made = run(tmp_path, *MAKE, "--host", "box.local", "--host", "192.0.2.7")
    assert made.returncode == 0, made.stderr
    server = tomllib.loads(made.stdout)["server"]
    assert Path(server["tls_key"]) == tmp_path / "tls" / "key.pem"
    assert stat.S_IMODE(os.stat(server["tls_key"]).st_mode) == 0o600
    assert "authority.pem" in made.stderr
    assert "box.local, 192.0.2.7, localhost, 127.0.0.1, ::1" in made.stderr
    config = tmp_path / "streamd.toml"
    config.write_text(made.stdout)
    checked = run(tmp_path, "config", "check", "--config", str(config), server__port=0)
    assert checked.returncode in (0, 3)  # the environment above unsets the certificate
    settings = {f"server__{key}": path for key, path in server.items()}
    assert run(tmp_path, "config", "check", **settings).returncode == 0
    looked = run(tmp_path, "doctor", "--json", server__port=0, **settings)
    (found,) = [one for one in json.loads(looked.stdout) if one["check"] == "tls"]
    assert found["status"] == "ok"
    assert found["message"].startswith("box.local, localhost, 192.0.2.7, 127.0.0.1, ::1; expires")


def test_it_replaces_nothing_unasked(tmp_path: Path):
    assert run(tmp_path, *MAKE, "--to", str(tmp_path / "here")).returncode == 0
    before = (tmp_path / "here" / "key.pem").read_bytes()
    again = run(tmp_path, *MAKE, "--to", str(tmp_path / "here"))
    assert again.returncode == 2
    assert "--replace" in again.stderr
    assert (tmp_path / "here" / "key.pem").read_bytes() == before
    assert run(tmp_path, *MAKE, "--to", str(tmp_path / "here"), "--replace").returncode == 0
    assert (tmp_path / "here" / "key.pem").read_bytes() != before


@pytest.mark.parametrize("host", ["https://box", "box:8765", ""])
def test_what_is_no_name_is_refused(tmp_path: Path, host: str):
    refused = run(tmp_path, *MAKE, "--host", host)
    assert refused.returncode == 2
    assert "neither the name of a host nor an address" in refused.stderr
    assert not (tmp_path / "tls").exists()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return certificate(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, files: Files):
    home = tmp_path_factory.mktemp("secure")
    with Daemon(home, server__tls_cert=files.cert, server__tls_key=files.key) as running:
        yield running
    assert running.complaints() == []


def test_a_client_trusts_the_authority_that_it_is_given(tmp_path: Path, secure: Daemon, files):
    for trusts in (["--ca", files.authority], ["--ca", files.cert]):
        done = run(tmp_path, "stream", SPEECH, "--fast", "--url", secure.url, *trusts)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["type"] == "bye"
    done = run(tmp_path, "stream", SPEECH, "--fast", "--url", secure.url, SSL_CERT_FILE="/nowhere")
    assert done.returncode == 4


def test_a_client_that_does_not_trust_it_says_what_to_do(tmp_path: Path, secure: Daemon):
    refused = run(tmp_path, "stream", SPEECH, "--url", secure.url)
    assert refused.returncode == 4
    assert "is not trusted" in refused.stderr
    assert "--ca FILE" in refused.stderr


def test_a_client_without_tls_is_told_to_use_it(tmp_path: Path, secure: Daemon):
    refused = run(tmp_path, "stream", SPEECH, "--url", secure.url.replace("wss", "ws"))
    assert refused.returncode == 5
    assert "this port speaks TLS" in refused.stderr


def test_a_client_with_tls_is_told_that_the_server_has_none(tmp_path: Path):
    with Daemon(tmp_path, server__tls_cert="", server__tls_key="") as plain:
        url = plain.url.replace("ws", "wss", 1)
        refused = run(tmp_path, "stream", SPEECH, "--url", url)
    assert refused.returncode == 4
    assert "use ws://" in refused.stderr


@pytest.mark.parametrize("content", [None, "nothing"])
def test_an_authority_that_cannot_be_used_is_named(tmp_path: Path, content: str | None):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    refused = run(tmp_path, "stream", SPEECH, "--url", "wss://127.0.0.1:1/", "--ca", str(path))
    assert refused.returncode == 2
    assert f"--ca {path}: " in refused.stderr


def test_the_bench_measures_over_tls(tmp_path: Path, secure: Daemon, files: Files):
    out = tmp_path / "bench.json"
    args = ["--start", "1", "--max", "1", "--step-s", "1", "--p99-ms", "1e6", "--json", str(out)]
    done = run(tmp_path, "bench", "--url", secure.url, "--ca", files.authority, *args)
    assert done.returncode == 0, done.stderr
    (step,) = json.loads(out.read_text())["steps"]
    assert step["server"]["cpu_ms"] > 0  # the metrics are read over TLS, too
