"""`streamd service`, with a systemctl that notes what it is asked, and real files."""

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from daemons import Daemon
from needs import needs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")

FAKE = """#!/bin/sh
echo "$(basename "$0") $*" >> "$SYSTEMD_LOG"
case "$*" in
  *is-system-running*) echo "$SYSTEMD_STATE" ;;
  *show*streamd.service*) cat "$SYSTEMD_SHOWS/service" ;;
  *show*streamd.socket*) cat "$SYSTEMD_SHOWS/socket" ;;
  *"$SYSTEMD_FAILS"*) echo "it does not want to" >&2; exit 1 ;;
esac
"""
RUNS = (
    "LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=2\n"
    "ActiveEnterTimestamp=Tue 2026-12-01 03:00:00 UTC\nStatusText=ready: 3 streams, 0 held\n"
)
EXEC = ("--exec", "/opt/streamd/bin/streamd")


class Systemd:
    """The programs of systemd, on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.log.touch()
        for name in ("systemctl", "systemd-sysusers", "systemd-tmpfiles"):
            (folder / name).write_text(FAKE)
            (folder / name).chmod(0o755)
        self.shows("", "")
        self.settings = {
            "PATH": f"{folder}:/usr/bin:/bin",
            "HOME": str(folder / "home"),
            "XDG_CONFIG_HOME": "",
            "SYSTEMD_LOG": str(self.log),
            "SYSTEMD_STATE": "running",
            "SYSTEMD_SHOWS": str(folder),
            "SYSTEMD_FAILS": "nothing",
        }

    def shows(self, service: str, socket: str) -> None:
        (self.folder / "service").write_text(service)
        (self.folder / "socket").write_text(socket)

    @property
    def asked(self) -> list[str]:
        """What it was asked to change."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if "is-system-running" not in line and " show " not in line]


@pytest.fixture
def systemd(tmp_path: Path) -> Systemd:
    folder = tmp_path / "systemd"
    folder.mkdir()
    return Systemd(folder)


def files(root: Path) -> set[str]:
    return {str(file.relative_to(root)) for file in root.rglob("*") if not file.is_dir()}


SYSTEM_FILES = {
    "etc/systemd/system/streamd.service",
    "etc/systemd/system/streamd.socket",
    "etc/sysusers.d/streamd.conf",
    "etc/tmpfiles.d/streamd.conf",
    "etc/streamd/streamd.toml",
}


def test_a_dry_run_shows_all_and_changes_nothing(cli, systemd, tmp_path):
    image = tmp_path / "image"
    done = cli("service", "install", "--root", image, *EXEC, "--dry-run", **systemd.settings)
    assert done.code == 0
    assert {line.split()[1] for line in done.out.splitlines() if line.startswith("write")} == {
        f"{image}/{name}" for name in SYSTEM_FILES
    }
    assert f"systemctl --root={image} enable streamd.socket streamd.service" in done.out
    assert systemd.asked == []
    assert not image.exists()


def test_without_yes_nothing_is_changed_where_nobody_can_be_asked(cli, systemd, tmp_path):
    done = cli.process(
        "service", "install", "--root", tmp_path / "image", *EXEC, **systemd.settings
    )
    assert done.code == 2
    assert "--yes" in done.err
    assert not (tmp_path / "image").exists()


def test_a_system_is_installed_and_removed_and_keeps_its_data(cli, systemd, tmp_path):
    image = tmp_path / "image"
    install = ("service", "install", "--root", image, *EXEC, "--yes")
    done = cli(*install, "--listen", "0.0.0.0:9000", "--with", "gpu", **systemd.settings)
    assert done.code == 0, done.err
    drop_in = "etc/systemd/system/streamd.service.d/gpu.conf"
    assert files(image) == {*SYSTEM_FILES, drop_in}
    unit = (image / "etc/systemd/system/streamd.service").read_text()
    assert "ExecStart=/opt/streamd/bin/streamd serve\n" in unit
    assert (
        "ListenStream=0.0.0.0:9000\n" in (image / "etc/systemd/system/streamd.socket").read_text()
    )
    assert systemd.asked == [
        f"systemd-sysusers --root={image} streamd.conf",
        f"systemd-tmpfiles --root={image} --create streamd.conf",
        f"systemctl --root={image} enable streamd.socket streamd.service",
    ]

    # After an upgrade it stays as it was chosen; the configuration is the operator's.
    config = image / "etc/streamd/streamd.toml"
    config.write_text("[server]\nport = 9001\n")
    (image / drop_in).write_text("of an older version")
    done = cli(*install, **systemd.settings)
    assert f"keep     {config}" in done.out
    assert f"keep     {image}/etc/systemd/system/streamd.service\n" in done.out
    assert f"keep     {image}/etc/systemd/system/streamd.socket\n" in done.out
    assert f"replace  {image}/{drop_in}" in done.out

    systemd.log.write_text("")
    done = cli("service", "uninstall", "--root", image, "--yes", **systemd.settings)
    assert done.code == 0, done.err
    assert "/var/lib/streamd" in done.err
    assert files(image) == {"etc/streamd/streamd.toml"}
    assert config.read_text() == "[server]\nport = 9001\n"
    assert systemd.asked == [f"systemctl --root={image} disable streamd.service streamd.socket"]
    assert cli("service", "uninstall", "--root", image, "--yes", **systemd.settings).code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make users")
def test_the_real_programs_install_it_in_an_image_and_remove_it(cli, tmp_path):
    needs("systemctl", "systemd-sysusers", "systemd-tmpfiles")
    image = tmp_path / "image"
    done = cli("service", "install", "--root", image, *EXEC, "--yes")
    assert done.code == 0, done.err
    wanted = image / "etc/systemd/system"
    links = [wanted / "sockets.target.wants/streamd.socket"]
    links += [wanted / "multi-user.target.wants/streamd.service"]
    assert all(link.is_symlink() for link in links)
    assert "streamd:x:" in (image / "etc/passwd").read_text()
    assert cli("service", "uninstall", "--root", image, "--yes").code == 0
    assert not any(link.is_symlink() for link in links)
    assert (image / "etc/streamd/streamd.toml").exists()


def test_the_configuration_says_where_a_new_service_listens(cli, systemd, tmp_path):
    config = tmp_path / "image/etc/streamd/streamd.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[server]\nhost = "::1"\nport = 9001\n')
    done = cli(
        "service", "install", "--root", tmp_path / "image", *EXEC, "--yes", **systemd.settings
    )
    assert done.code == 0, done.err
    socket = (tmp_path / "image/etc/systemd/system/streamd.socket").read_text()
    assert "ListenStream=[::1]:9001\n" in socket


def test_a_user_has_a_service_of_their_own(cli, systemd):
    done = cli("service", "install", "--user", "--yes", **systemd.settings)
    assert done.code == 0, done.err
    folder = systemd.folder / "home/.config/systemd/user"
    assert files(folder) == {"streamd.service", "streamd.socket"}
    program = Path(sys.executable).parent / "streamd"
    assert f"ExecStart={program} serve\n" in (folder / "streamd.service").read_text()
    assert systemd.asked == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now streamd.socket streamd.service",
    ]
    assert "enable-linger" in done.err
    assert cli("service", "uninstall", "--user", "--yes", **systemd.settings).code == 0
    assert files(folder) == set()


def test_a_service_that_others_reach_says_how_to_make_a_key_before_it_fails_to_start(cli, systemd):
    systemd.settings["SYSTEMD_FAILS"] = "enable --now"
    listen = ("--listen", "0.0.0.0:9000", "--yes")
    done = cli("service", "install", "--user", *listen, **systemd.settings)
    assert done.code == 8
    assert "`streamd keys create NAME` makes one" in done.err
    assert "`systemctl --user restart streamd.socket streamd.service`" in done.err
    assert "Installed" not in done.err


def test_an_address_that_changes_is_taken_after_a_restart_of_the_socket(cli, systemd):
    restart = "systemctl --user restart streamd.socket streamd.service"
    install = ("service", "install", "--user", "--yes")
    assert restart not in cli(*install, **systemd.settings).err
    assert restart not in cli(*install, "--listen", "localhost:8765", **systemd.settings).err
    assert restart in cli(*install, "--listen", "[::1]:8765", **systemd.settings).err


def test_a_command_that_fails_is_named_with_its_reason(cli, systemd):
    systemd.settings["SYSTEMD_FAILS"] = "daemon-reload"
    done = cli("service", "install", "--user", "--yes", **systemd.settings)
    assert done.code == 8
    assert "`systemctl --user daemon-reload` failed: it does not want to" in done.err


@pytest.mark.parametrize("command", [["install", "--yes", *EXEC], ["status"], ["restart"]])
def test_without_systemd_it_says_what_to_do(command, cli, systemd):
    systemd.settings["SYSTEMD_STATE"] = "offline"
    done = cli("service", *command, **systemd.settings)
    assert done.code == 2
    assert "systemd does not run here" in done.err
    assert "streamd serve" in done.err
    systemd.settings["PATH"] = "/nowhere"
    assert "systemd does not run here" in cli("service", *command, **systemd.settings).err
    assert systemd.asked == []


def test_the_state_is_shown_with_streams_and_readiness(cli, systemd, daemon: Daemon):
    place = urlsplit(daemon.http_url).netloc
    systemd.shows(RUNS, f"ActiveState=active\nListen={place} (Stream)\n")
    done = cli("service", "status", "--user", **systemd.settings)
    assert done.code == 0, done.err
    assert "active (running) since Tue 2026-12-01 03:00:00 UTC, restarted 2 times" in done.out
    assert "ready: 3 streams" in done.out
    assert "health   ready" in done.out
    found = json.loads(cli("service", "status", "--user", "--json", **systemd.settings).out)
    assert (found["listens"], found["health"]) == ([place], "ready")


def test_a_service_that_does_not_serve_is_an_error(cli, systemd):
    systemd.shows(RUNS.replace("=active", "=failed"), "ActiveState=failed\nListen=\n")
    done = cli("service", "status", "--user", **systemd.settings)
    assert done.code == 4
    assert "failed (running)" in done.out
    assert "journalctl --user -u streamd" in done.err
    systemd.shows("LoadState=not-found\n", "")
    done = cli("service", "status", "--user", **systemd.settings)
    assert done.code == 2
    assert "streamd service install" in done.err


def test_a_rolling_restart_needs_the_socket_to_stay_open(cli, systemd, daemon: Daemon):
    place = urlsplit(daemon.http_url).netloc
    systemd.shows(RUNS, f"ActiveState=inactive\nListen={place} (Stream)\n")
    done = cli("service", "restart", "--user", "--rolling", **systemd.settings)
    assert done.code == 2
    assert "`systemctl --user start streamd.socket`" in done.err
    assert systemd.asked == []
    systemd.shows(RUNS, f"ActiveState=active\nListen={place} (Stream)\n")
    done = cli("service", "restart", "--user", "--rolling", **systemd.settings)
    assert done.code == 0, done.err
    assert systemd.asked == ["systemctl --user restart streamd.service"]


def test_a_broken_configuration_is_not_restarted_into(cli, systemd, tmp_path):
    systemd.shows(RUNS, "ActiveState=active\nListen=127.0.0.1:1 (Stream)\n")
    (tmp_path / "x.toml").write_text("[server]\nports = 1\n")
    done = cli("service", "restart", "--user", "--config", tmp_path / "x.toml", **systemd.settings)
    assert done.code == 3
    assert "ports" in done.err
    assert systemd.asked == []


def test_who_is_not_root_is_told_so_before_anything_changes(cli, systemd, monkeypatch):
    monkeypatch.setattr("streamd.cli.service.is_root", lambda: False)
    done = cli("service", "install", *EXEC, "--yes", **systemd.settings)
    assert done.code == 2
    assert "sudo" in done.err
    assert systemd.asked == []


def test_an_unknown_drop_in_is_refused(cli, systemd):
    done = cli("service", "install", *EXEC, "--with", "cpu", **systemd.settings)
    assert done.code == 2
    assert "gpu, mic, store-key, tls" in done.err
