"""The steps that install the service, and those that remove it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from streamd.config import SYSTEM_FILE
from streamd.config.template import template
from streamd.places import units_dir
from streamd.service import units
from streamd.service.manager import Manager
from streamd.service.plan import Begin, Remove, Run, Step, Write
from streamd.service.units import DROP_INS, SERVICE, SOCKET

SYSUSERS, TMPFILES = Path("/etc/sysusers.d/streamd.conf"), Path("/etc/tmpfiles.d/streamd.conf")


class Layout(NamedTuple):
    """Where the files of a service are."""

    units: Path
    image: Path

    @classmethod
    def of(cls, manager: Manager, environ: Mapping[str, str]) -> Layout:
        """Return the places for a manager.

        Raises:
            ConfigError: The user has no home directory.
        """
        image = manager.image or Path("/")
        if not manager.is_user:
            return cls(image / "etc/systemd/system", image)
        return cls(units_dir(environ), image)

    def within(self, path: Path) -> Path:
        """Return a path of the system, below the image."""
        return self.image / path.relative_to("/")

    def drop_in(self, name: str) -> Path:
        """Return the file of a drop-in that streamd ships."""
        return self.units / f"{SERVICE}.d" / f"{name}.conf"

    def addresses(self) -> list[str]:
        """Return where the installed service listens; empty if there is none."""
        unit = self.units / SOCKET
        return units.listens(unit.read_text(encoding="utf-8")) if unit.exists() else []

    @property
    def is_installed(self) -> bool:
        """Return whether the service is installed."""
        return (self.units / SERVICE).exists()


def installing(
    manager: Manager,
    layout: Layout,
    program: str,
    addresses: Sequence[str],
    drop_ins: Sequence[str],
) -> Iterator[Step]:
    """Yield the steps that install the service, or bring it up to date, and start it.

    Args:
        manager: Of the system or of the user.
        layout: Where the files are.
        program: Path of the streamd that it runs.
        addresses: Where it listens.
        drop_ins: Names of the drop-ins wanted beside those that are installed.

    Raises:
        WrongUsage: systemd cannot listen on one of the addresses.
    """
    yield Write(layout.units / SERVICE, units.service(program, is_user=manager.is_user))
    yield Write(layout.units / SOCKET, units.socket(addresses))
    for name in (one for one in DROP_INS if one in drop_ins or layout.drop_in(one).exists()):
        yield Write(layout.drop_in(name), units.shipped(f"drop-ins/{name}.conf"))
    if not manager.is_user:
        yield Write(layout.within(SYSUSERS), units.shipped("sysusers.d/streamd.conf"))
        yield Write(layout.within(TMPFILES), units.shipped("tmpfiles.d/streamd.conf"))
        yield Begin(layout.within(SYSTEM_FILE), template())
        yield Run(["systemd-sysusers", *manager.of_image(), SYSUSERS.name])
        yield Run(["systemd-tmpfiles", *manager.of_image(), "--create", TMPFILES.name])
    if manager.image is not None:
        yield Run(manager.command("enable", SOCKET, SERVICE))
        return
    yield Run(manager.command("daemon-reload"))
    yield Run(manager.command("enable", "--now", SOCKET, SERVICE))


def removing(manager: Manager, layout: Layout) -> Iterator[Step]:
    """Yield the steps that stop the service and remove its files, but none of its data."""
    now = [] if manager.image is not None else ["--now"]
    yield Run(manager.command("disable", *now, SERVICE, SOCKET))
    files = [layout.units / SERVICE, layout.units / SOCKET, *map(layout.drop_in, DROP_INS)]
    if not manager.is_user:
        files += [layout.within(SYSUSERS), layout.within(TMPFILES)]
    for path in files:
        if path.exists():
            yield Remove(path)
    if manager.image is None:
        yield Run(manager.command("daemon-reload"))
