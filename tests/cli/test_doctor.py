"""Each common problem is made for real, `streamd doctor` names it, and the fix it says helps."""

import contextlib
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.certificates import Files, certificate
from fakes.collector import collecting

from streamd.cli.checks import files, machine, network, voices
from streamd.cli.checks.check import Check, attempt
from streamd.config import Config, LimitsConfig, ServerConfig, StoreConfig
from streamd.config.sections import TracingConfig
from streamd.models.library import default_directory
from streamd.store import newkey, open_store
from streamd.store.rekeying import rekey

NOW_MS = 1_796_000_000_000
DAY_S = 86_400
X86 = "processor\t: {}\nmodel name\t: Some CPU\nflags\t\t: {}\n\n"
ARM = "processor\t: 0\nFeatures\t: {}\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("STREAMD_MODELS", str(default_directory()))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("STREAMD_DATA", str(folder / "data"))
    return folder


def store_check(config: Config | None = None) -> Check:
    """The line about the store."""
    return next(voices.look(config or Config()))


def stored(home: Path) -> tuple[Path, Path]:
    """A store, and its key."""
    path, key = home / "data" / "streamd.db", home / "data" / "key"
    open_store(path, key).close()
    return path, key


def said(command: list[str], check: str, **variables: str) -> list[str]:
    """What a process prints of a check: its status, then its message."""
    script = f"""
from pathlib import Path
from streamd.cli.checks import audio, files, network
from streamd.cli.checks.check import attempt
from streamd.config import Config, ServerConfig
found = attempt("", lambda: {check})
print(found.status, found.result, sep="|")
"""
    done = subprocess.run(
        [*command, sys.executable, "-c", script],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().split("|")


def test_it_looks_at_everything_and_changes_nothing(cli):
    done = cli.process("doctor", "--json", STREAMD_SERVER__PORT=0)
    assert done.code == 0, done.out
    found = [check["check"] for check in json.loads(done.out)]
    assert found == [
        "streamd",
        "config",
        "cpu",
        "clock",
        "limits",
        "models",
        "store",
        "audit",
        "port",
        "disk",
        "decoder",
        "microphone",
        "front end",
        "speed",
        "telemetry",
    ]
    assert list(cli.home.iterdir()) == []


# The processor.


@pytest.mark.parametrize(
    ("machine_name", "text", "status", "says"),
    [
        ("x86_64", X86.format(0, "sse4_2 avx avx2 avx512_vnni"), "ok", "AVX2 and VNNI"),
        ("x86_64", X86.format(0, "avx avx2") + X86.format(1, "avx"), "ok", "without VNNI"),
        ("x86_64", X86.format(0, "sse4_2 avx"), "note", 'CPU type "host"'),
        ("aarch64", ARM.format("fp asimd asimddp"), "ok", "dot product"),
        ("aarch64", ARM.format("fp asimd"), "ok", "without the dot product"),
        ("riscv64", "hart : 0\nisa : rv64imafdc\n", "ok", "riscv64"),
        ("arm64", None, "ok", "cores usable"),
    ],
)
def test_a_processor_without_fast_arithmetic_is_named(
    tmp_path: Path, machine_name: str, text: str | None, status: str, says: str
):
    information = tmp_path / "cpuinfo"
    if text is not None:
        information.write_text(text)
    found = machine.processor(information, machine_name)
    assert (found.status, says in found.result) == (status, True), found


# The clock.


def clock(at_ms: int) -> Check:
    return attempt("clock", lambda: machine.clock(Config(), at_ms))


def test_a_clock_that_is_not_set_is_named():
    unset = clock(at_ms=1_000_000)
    assert unset.status == "fail"
    assert "1970-01-01" in unset.result
    assert "timedatectl set-ntp true" in unset.result
    assert clock(NOW_MS).status != "fail"


def test_a_clock_that_went_backwards_is_named(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "is_synchronised", lambda: True)
    path, _ = stored(home)
    os.utime(path, (NOW_MS / 1000, NOW_MS / 1000))
    behind = clock(NOW_MS - DAY_S * 1000)
    assert behind.status == "note"
    assert "went backwards" in behind.result
    assert clock(NOW_MS + 1000).status == "ok"


def test_a_clock_that_nothing_synchronises_is_named(monkeypatch: pytest.MonkeyPatch):
    for synchronised, status in ((False, "note"), (True, "ok")):
        monkeypatch.setattr(machine, "is_synchronised", lambda answer=synchronised: answer)
        assert clock(NOW_MS).status == status


def test_the_kernel_says_how_wrong_its_clock_may_be():
    error_us = machine.max_error_us()
    assert error_us is None or 0 <= error_us <= machine.UNSYNCHRONISED_US


# Open files.


def test_too_few_open_files_are_named_and_fewer_streams_suffice():
    script = """
import resource
from streamd.cli.checks.machine import open_files
from streamd.config import Config, LimitsConfig
resource.setrlimit(resource.RLIMIT_NOFILE, (700, 700))
for streams in (256, 64):
    print(*open_files(Config(limits=LimitsConfig(max_streams=streams)))[1:3], sep="|")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    short, enough = done.stdout.splitlines()
    assert short.endswith("|False")
    assert "LimitNOFILE=868" in short
    assert enough.endswith("|True")


def test_enough_open_files_are_fine():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = Config(limits=LimitsConfig(max_streams=1), server=ServerConfig(max_waiting=1))
    assert machine.open_files(few).status == ("ok" if hard > 102 else "note")


# Models.


def test_a_model_that_was_cut_is_named_and_a_whole_one_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    copied = tmp_path / "models"
    shutil.copytree(default_directory(), copied)
    monkeypatch.setenv("STREAMD_MODELS", str(copied))
    model = next(copied.glob("silero*.onnx"))
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) // 2])
    cut = attempt("models", lambda: files.models(Config()))
    assert cut.status == "fail"
    assert f"{model.name} (changed)" in cut.result
    assert "streamd models pull" in cut.result
    model.write_bytes(whole)
    assert attempt("models", lambda: files.models(Config())).status == "ok"


# The store and its key.


def test_a_missing_key_is_named_and_its_backup_passes(home: Path):
    _, key = stored(home)
    assert store_check().status == "ok"
    backup = key.rename(key.with_name("backup"))
    lacking = store_check()
    assert lacking.status == "fail"
    assert "restore it" in lacking.result
    assert not key.exists(), "a new key would not open the records"
    backup.rename(key)
    assert store_check().status == "ok"


def test_another_key_is_named(home: Path):
    _, key = stored(home)
    own = key.read_text()
    for wrong, says in (("0" * 64, "not the key"), ("secret", "64 hexadecimal digits")):
        key.write_text(wrong)
        found = store_check()
        assert (found.status, says in found.result) == ("fail", True), found
    key.write_text(own)
    assert store_check().status == "ok"


def test_a_change_of_the_key_that_was_interrupted_is_named_and_the_fix_helps(home: Path):
    path, key = stored(home)
    newkey.begin(key)
    found = list(voices.look(Config()))
    assert [check.status for check in found] == ["ok", "note"]
    assert "`streamd store rekey`" in found[1].result
    with contextlib.closing(open_store(path, key)) as store:
        rekey(store, key, lambda done, total: None)
    assert [check.status for check in voices.look(Config())] == ["ok"]


@pytest.mark.parametrize("is_new", [True, False])
def test_a_key_that_others_may_read_is_named_and_the_fix_helps(home: Path, is_new: bool):
    path, key = stored(home)
    if is_new:  # before the first start, with a key from elsewhere
        path.unlink()
    key.chmod(0o644)
    found = store_check()
    assert found.status == "fail"
    assert f"chmod 600 {key}" in found.result
    key.chmod(0o600)
    assert store_check().status == "ok"
    assert path.exists() != is_new


def test_a_store_of_an_older_streamd_is_left_as_it_is(home: Path):
    import sqlite3

    path, _ = stored(home)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 1")
    found = store_check()
    assert found.status == "note"
    assert "older streamd" in found.result
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_file_that_is_no_store_is_named(tmp_path: Path):
    other = tmp_path / "note.db"
    other.write_text("no database " * 100)
    assert store_check(Config(store=StoreConfig(path=str(other)))).status == "fail"


# The port.


def port(number: int) -> Check:
    return attempt("port", lambda: network.port(Config(server=ServerConfig(port=number))))


def test_a_port_in_use_is_named_and_is_free_when_it_is_closed():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        found = port(number)
        assert found.status == "fail"
        assert f"ss -ltnp 'sport = :{number}'" in found.result
    assert port(number).status == "ok"


def test_a_port_that_is_not_for_this_user_is_named(unprivileged: list[str]):
    start = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not start.exists() or int(start.read_text()) < 1024:
        pytest.skip("this machine lets every user have every port")
    check = "network.port(Config(server=ServerConfig(port=1023)))"
    status, message = said(unprivileged, check)
    assert status == "fail"
    assert "CAP_NET_BIND_SERVICE" in message


def test_an_address_that_needs_a_key_is_named_without_making_a_store(home: Path):
    everywhere = Config(server=ServerConfig(host="0.0.0.0", port=0))
    found = attempt("port", lambda: network.port(everywhere))
    assert found.status == "fail"
    assert "streamd keys create" in found.result
    assert not (home / "data").exists()


# TLS.


@pytest.fixture
def made(tmp_path: Path) -> Files:
    return certificate(tmp_path / "tls")


def tls(cert: str | Path, key: str) -> Check:
    server = ServerConfig(tls_cert=str(cert), tls_key=key)
    return attempt("tls", lambda: network.certificate(Config(server=server)))


def test_the_key_of_another_certificate_is_named(tmp_path: Path, made: Files):
    other = certificate(tmp_path / "other")
    mixed = tls(made.cert, other.key)
    assert mixed.status == "fail"
    assert "is not the key of the certificate" in mixed.result
    assert tls(other.cert, other.key).status == "ok"


def test_a_chain_in_the_wrong_order_is_named(tmp_path: Path, made: Files):
    other = certificate(tmp_path / "other")
    own, stranger = Path(made.cert).read_text(), Path(other.authority).read_text()
    chain = tmp_path / "chain.pem"
    chain.write_text(own + stranger)
    wrong = tls(chain, made.key)
    assert wrong.status == "fail"
    assert "the one that signed it" in wrong.result
    own_alone = own[: own.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    chain.write_text(own_alone + Path(made.authority).read_text())
    assert tls(chain, made.key).status == "ok"


def test_an_issuer_that_nobody_knows_is_named_until_it_is_trusted(
    tmp_path: Path, made: Files, monkeypatch: pytest.MonkeyPatch
):
    own = Path(made.cert).read_text()
    alone = tmp_path / "alone.pem"
    alone.write_text(own[: own.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n")
    unknown = tls(alone, made.key)
    assert unknown.status == "note"
    assert "append the certificate of its issuer" in unknown.result
    monkeypatch.setenv("SSL_CERT_FILE", made.authority)
    assert tls(alone, made.key).status == "ok"


def test_a_key_of_the_certificate_that_everybody_may_read_is_named(made: Files):
    Path(made.key).chmod(0o644)
    open_to_all = tls(made.cert, made.key)
    assert open_to_all.status == "note"
    assert f"chmod o= {made.key}" in open_to_all.result
    Path(made.key).chmod(0o640)
    assert tls(made.cert, made.key).status == "ok"


# The disk.


def disk() -> Check:
    return attempt("disk", files.disk)


def test_a_full_disk_is_named_and_room_helps(tiny_disk: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STREAMD_DATA", str(tiny_disk))
    monkeypatch.setattr(files, "NEEDED_MB", 0)
    monkeypatch.setattr(files, "NEEDED_FILES", 1)
    assert disk().status == "ok"
    (tiny_disk / "ballast").write_bytes(bytes(350_000))
    full = disk()
    assert full.status == "fail"
    assert "No space left" in full.result
    (tiny_disk / "ballast").unlink()
    assert disk().status == "ok"


def test_used_up_inodes_are_named(tiny_disk: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STREAMD_DATA", str(tiny_disk))
    monkeypatch.setattr(files, "NEEDED_MB", 0)
    monkeypatch.setattr(files, "NEEDED_FILES", os.statvfs(tiny_disk).f_favail)
    (tiny_disk / "one").touch()
    used_up = disk()
    assert (used_up.status, "inodes" in used_up.result) == ("note", True)
    (tiny_disk / "one").unlink()
    assert disk().status == "ok"


def test_a_folder_that_may_not_be_written_is_named(unprivileged: list[str], tmp_path: Path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    status, message = said(unprivileged, "files.disk()", STREAMD_DATA=str(locked))
    assert status == "fail"
    assert "chown -R" in message
    locked.chmod(0o700)
    status, message = said(unprivileged, "files.disk()", STREAMD_DATA=str(locked))
    assert status == "ok"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_folder_of_another_user_is_named(home: Path):
    data = home / "data"
    data.mkdir()
    os.chown(data, 65534, -1)
    other = disk()
    assert other.status == "note"
    assert "streamd doctor" in other.result
    os.chown(data, 0, -1)
    assert disk().status == "ok"


# The microphone.


def test_a_device_that_this_user_may_not_open_is_named(unprivileged: list[str], tmp_path: Path):
    (tmp_path / "pcmC0D0p").touch(0o000)
    device = tmp_path / "pcmC0D0c"
    device.touch()
    check = f"str(audio.refused(Path({str(tmp_path)!r})))"
    assert said(unprivileged, check)[1] == "None", "a device that only plays does not matter"
    device.chmod(0o000)
    denied = said(unprivileged, check)[1]
    assert str(device) in denied
    assert "usermod -aG" in denied
    device.chmod(0o660)
    assert said(unprivileged, check)[1] == "None"


# Traces.


def traces(endpoint: str) -> Check:
    settings = TracingConfig(exporter="otlp", endpoint=endpoint)
    return attempt("traces", lambda: network.traces(Config(tracing=settings)))


def test_a_collector_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with collecting() as collector:
        assert traces(collector.url).status == "ok"
        assert collector.spans == []
        assert traces(f"{collector.url}/elsewhere").status == "note"
    gone = traces(collector.url)
    assert gone.status == "note"
    assert "does a collector listen there" in gone.result
    assert traces("collector").status == "fail"


# What leaves the machine.


def test_telemetry_of_another_program_is_named_until_it_is_gone(home: Path):
    vendor = home / ".cache/Microsoft"
    vendor.mkdir(parents=True)
    found = attempt("telemetry", network.leaving)
    assert found.status == "note"
    assert "ORT_DISABLE_TELEMETRY=1" in found.result
    database = vendor / "events.db"
    with database.open("w"):
        reporting = attempt("telemetry", network.leaving)
    assert reporting.status == "fail"
    assert str(database) in reporting.result
    shutil.rmtree(vendor)
    assert attempt("telemetry", network.leaving).status == "ok"


def test_a_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("https_proxy", "http://ann:secretword@proxy.example:3128")
    found = attempt("telemetry", network.leaving)
    assert found.status == "ok"
    assert "http://ann@proxy.example:3128" in found.result
    assert "secretword" not in found.result
