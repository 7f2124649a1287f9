"""The unit files: systemd takes them, and finds them as hardened as the documentation says."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from needs import needs

from streamd.errors import WrongUsage
from streamd.service import units
from streamd.service.units import DROP_INS

ROOT = Path(__file__).parents[2]
README = (ROOT / "systemd/README.md").read_text()
MOST = 1.5
"""Exposure that the service may have on a CPU, without a microphone."""
PROGRAM = shutil.which("true") or "/bin/true"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")


def installed(folder: Path, *drop_ins: str, is_user: bool = False) -> Path:
    """The units as they are installed; the path of the service."""
    service = folder / units.SERVICE
    service.write_text(units.service(PROGRAM, is_user=is_user))
    (folder / units.SOCKET).write_text(units.socket(["127.0.0.1:8765"]))
    for name in drop_ins:
        below = folder / f"{units.SERVICE}.d"
        below.mkdir(exist_ok=True)
        (below / f"{name}.conf").write_text(units.shipped(f"drop-ins/{name}.conf"))
    return service


def analyze(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    needs("systemd-analyze")
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
        capture_output=True,
        check=False,
        text=True,
    )


def exposure(folder: Path, service: Path) -> float:
    done = analyze(folder, "security", "--offline=true", str(service))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    return float(found[1])


@pytest.mark.parametrize("drop_ins", [(), *((name,) for name in DROP_INS), DROP_INS])
def test_systemd_has_nothing_to_say_of_the_units(drop_ins: tuple[str, ...], tmp_path: Path) -> None:
    service = installed(tmp_path, *drop_ins)
    done = analyze(tmp_path, "verify", str(service), str(tmp_path / units.SOCKET))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_nor_of_those_of_a_user(tmp_path: Path) -> None:
    service = installed(tmp_path, is_user=True)
    done = analyze(tmp_path, "--user", "verify", str(service))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("drop_in", ["", *DROP_INS])
def test_the_exposure_is_what_the_documentation_says(drop_in: str, tmp_path: Path) -> None:
    found = exposure(tmp_path, installed(tmp_path, *filter(None, [drop_in])))
    row = re.search(rf"^\| {re.escape(drop_in or 'none')} \| ([0-9.]+) \|", README, re.MULTILINE)
    assert row, drop_in
    # Other versions of systemd weigh a switch more or fewer; none may make it worse than promised.
    assert found <= (MOST if drop_in in ("", "tls", "store-key") else float(row[1]) + 0.3)


def test_every_file_of_the_units_is_in_the_table() -> None:
    folder = ROOT / "systemd"
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert files - {"README.md"} == set(re.findall(r"^\| `([^`]+)` \|", README, re.MULTILINE))


def test_a_wheel_has_the_units() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["systemd"] == "streamd/service/files"


@pytest.mark.parametrize("is_user", [False, True])
def test_exit_codes_that_the_next_start_would_repeat_restart_nothing(is_user: bool) -> None:
    text = units.service("/opt/streamd/bin/streamd", is_user=is_user)
    assert "RestartPreventExitStatus=2 3 7\n" in text


@pytest.mark.parametrize(
    ("address", "stream"),
    [
        ("127.0.0.1:8765", "127.0.0.1:8765"),
        ("localhost:9000", "127.0.0.1:9000"),
        ("0.0.0.0:443", "0.0.0.0:443"),
        ("[::]:8765", "[::]:8765"),
        ("::1:8765", "[::1]:8765"),
        ("8765", "8765"),
    ],
)
def test_an_address_is_written_as_systemd_reads_it(address: str, stream: str) -> None:
    assert units.listen_stream(address) == stream


@pytest.mark.parametrize("address", ["box.local:8765", "127.0.0.1:0", "x", "", "127.0.0.1:99999"])
def test_what_systemd_cannot_listen_on_is_refused(address: str) -> None:
    with pytest.raises(WrongUsage, match="--listen"):
        units.listen_stream(address)


def test_paths_with_special_characters_are_quoted() -> None:
    text = units.service("/opt/my 100% streamd/bin/streamd", is_user=False)
    assert 'ExecStart="/opt/my 100%% streamd/bin/streamd" serve\n' in text


@pytest.mark.parametrize(
    ("address", "host"),
    [("127.0.0.1:8765", "127.0.0.1"), ("[::1]:8765", "::1"), ("localhost:1", "localhost")],
)
def test_the_host_decides_who_needs_a_key(address: str, host: str) -> None:
    assert units.host_of(address) == host
    assert units.host_of("8765") == "::"


@pytest.mark.parametrize(
    "path", ["/root/venv/bin/streamd", "/home/ada/bin/streamd", "/tmp/streamd"]
)
def test_a_program_that_the_service_cannot_see_is_refused(path: str) -> None:
    with pytest.raises(WrongUsage, match="/opt/streamd"):
        units.check_visible(Path(path), is_own=False)
    units.check_visible(Path("/opt/streamd/bin/streamd"), is_own=False)
