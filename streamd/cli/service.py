"""`streamd service`: install, remove, look at and restart the service of systemd."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from streamd.cli.common import ConfigOption, note
from streamd.config import SYSTEM_FILE, Config, load, needs_key
from streamd.errors import WrongUsage
from streamd.service import status as state
from streamd.service import units
from streamd.service.install import Layout, installing, removing
from streamd.service.manager import Manager, is_root, run
from streamd.service.plan import Step
from streamd.service.status import Status
from streamd.service.units import DROP_INS, SERVICE, SOCKET
from streamd.view.console import print_json, stdout

app = typer.Typer(
    help="Install, remove, look at and restart the service of systemd.", no_args_is_help=True
)

UserOption = Annotated[
    bool, typer.Option("--user", help="The service of this user, not that of the system.")
]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root", help="Root folder of an image: change its files and start nothing.", metavar="DIR"
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")]


@app.command()
def install(
    user: UserOption = False,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            help="Address and port, as 0.0.0.0:8765; repeat for more.",
            show_default="as installed, else as configured",
        ),
    ] = None,
    drop_ins: Annotated[
        list[str] | None,
        typer.Option("--with", help=f"Also install a drop-in: {', '.join(DROP_INS)}; repeatable."),
    ] = None,
    program: Annotated[
        Path | None,
        typer.Option("--exec", help="The streamd that the service runs.", show_default="this one"),
    ] = None,
    root: RootOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Install the service, or bring it up to date, and start it.

    What will be written and run is shown first.
    """
    for name in drop_ins or ():
        if name not in DROP_INS:
            raise WrongUsage(f"--with {name}: none of {', '.join(DROP_INS)}")
    if user and (drop_ins or root is not None):
        raise WrongUsage("--with and --root are for the service of the system, not for --user")
    manager, layout = _place(user, root)
    chosen = (program or units.own_program()).absolute()
    if not user:
        units.check_visible(chosen, is_own=program is None)
    settings = _settings(None, layout)
    server = settings.server
    before = layout.addresses()
    addresses = listen or before or [f"{server.host}:{server.port}"]
    steps = list(installing(manager, layout, str(chosen), addresses, drop_ins or ()))
    if not _agreed(manager, steps, dry_run=dry_run, yes=yes):
        return
    if root is not None:
        _carry_out(steps)
        note("Installed in the image. The service starts with its system.")
        return
    _say_of_keys(manager, addresses, settings)  # before the start, which fails without one
    _carry_out(steps)
    _say_what_next(manager, is_moved=before not in ([], _streams(addresses)))


@app.command()
def uninstall(
    user: UserOption = False,
    root: RootOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Stop the service and remove its files. Voices, keys, models and configuration stay."""
    manager, layout = _place(user, root)
    if not layout.is_installed:
        raise WrongUsage(f"there is no {layout.units / SERVICE}: nothing to remove")
    steps = list(removing(manager, layout))
    if _agreed(manager, steps, dry_run=dry_run, yes=yes):
        _carry_out(steps)
        note(
            "Removed the service. Its data stay: "
            + (
                "they are those of your user."
                if user
                else "/etc/streamd, /var/lib/streamd, /var/cache/streamd and the user streamd."
            )
        )


@app.command()
def status(
    user: UserOption = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show whether the service runs and is ready, and its streams. Exits with 4 if it is not."""
    manager = Manager(user)
    manager.check()
    found = state.read(manager)
    if json:
        print_json(found._asdict(), indent=2)
    else:
        for line in _described(found):
            stdout().print(line, soft_wrap=True)
    found.check(_journal(user))


@app.command()
def restart(
    user: UserOption = False,
    rolling: Annotated[
        bool,
        typer.Option(
            "--rolling",
            help="Only if systemd keeps the port open meanwhile, so that nobody is refused.",
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Check the configuration, drain the service, start it again and wait until it is ready.

    Streams get their final events and are closed with 1012; their clients connect again. There is
    one process today, so a rolling restart is a drain and a start behind a port that stays open:
    who connects between the two waits.
    """
    manager, layout = _place(user, None)
    manager.check()
    before = state.read(manager)
    if rolling and before.socket != "active":
        raise WrongUsage(
            "streamd.socket is not active, so the port would be closed meanwhile: "
            f"`{' '.join(manager.command('start', SOCKET))}` first, or leave out --rolling"
        )
    _check_rights(manager)
    _settings(config, layout)  # a fault in it would leave nothing that runs
    note("Draining, then starting again. Streams get their final events and connect again.")
    run(manager.command("restart", SERVICE))
    found = state.read(manager)
    for line in _described(found):
        stdout().print(line, soft_wrap=True)
    found.check(_journal(user))


def _place(user: bool, root: Path | None) -> tuple[Manager, Layout]:
    manager = Manager(user, None if root is None else root.absolute())
    return manager, Layout.of(manager, os.environ)


def _settings(config: Path | None, layout: Layout) -> Config:
    """Return the configuration that the service will have; it has another environment."""
    file = config or layout.within(SYSTEM_FILE)
    return load(file, {}) if config is not None or file.is_file() else Config()


def _agreed(manager: Manager, steps: Sequence[Step], *, dry_run: bool, yes: bool) -> bool:
    """Show the steps, and return whether to carry them out."""
    for step in steps:
        stdout().print(step.describe(), soft_wrap=True)
    if dry_run:
        return False
    manager.check()
    _check_rights(manager)
    if not yes:
        if not sys.stdin.isatty():
            raise WrongUsage("nothing was changed: add --yes to do this without being asked")
        typer.confirm("Do this?", abort=True)
    return True


def _check_rights(manager: Manager) -> None:
    if not manager.is_user and manager.image is None and not is_root():
        raise WrongUsage(
            "this needs root: run it with sudo, or use --user for a service of your own"
        )


def _carry_out(steps: Sequence[Step]) -> None:
    for step in steps:
        step.carry_out()


def _say_of_keys(manager: Manager, addresses: Sequence[str], settings: Config) -> None:
    if not any(needs_key(units.host_of(address), settings.access) for address in addresses):
        return
    create = "streamd keys create NAME"
    if not manager.is_user:
        create = f"sudo -u streamd env STREAMD_DATA=/var/lib/streamd {create}"
    note(
        f"The service starts once there is an API key: `{create}` makes one, and "
        f"`{_restart_all(manager)}` starts the service then."
    )


def _say_what_next(manager: Manager, *, is_moved: bool) -> None:
    user = " --user" if manager.is_user else ""
    note(f"Installed. `streamd service status{user}` shows how it is.")
    if is_moved:
        note(f"It listens at the new address after `{_restart_all(manager)}`.")
    if manager.is_user:
        note("`loginctl enable-linger` has it run while you are logged out.")


def _restart_all(manager: Manager) -> str:
    return " ".join(manager.command("restart", SOCKET, SERVICE))


def _streams(addresses: Sequence[str]) -> list[str]:
    return [units.listen_stream(address) for address in addresses]


def _described(found: Status) -> list[str]:
    since = f" since {found.since}" if found.since else ""
    times = f", restarted {found.restarts} times" if found.restarts else ""
    lines = [f"service  {found.state}{since}{times}"]
    if found.says:
        lines.append(f"         {found.says}")
    lines.append(f"socket   {found.socket}: {', '.join(found.listens) or 'no address'}")
    lines.append(f"health   {found.health or 'no answer'}")
    return lines


def _journal(user: bool) -> str:
    return f"journalctl {'--user ' if user else ''}-u streamd -e"
