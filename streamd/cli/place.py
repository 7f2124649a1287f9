"""Whose voices or words the commands with subcommands are about, and where they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import typer


class Place(NamedTuple):
    """The options `--config` and `--tenant`."""

    config: Path | None
    tenant: str | None
    """Name of the tenant, checked; None is the default one."""

    @property
    def as_option(self) -> str:
        """What to add to a command that a message suggests, so that it is about this tenant."""
        return "" if self.tenant is None else f" --tenant {self.tenant}"


def chosen(context: typer.Context, tenant: str | None) -> Place:
    """Return the options in force for a subcommand.

    Args:
        context: Of the subcommand; its `obj` has the options of the command itself.
        tenant: The subcommand's own option, which takes precedence.
    """
    place: Place = context.obj
    return place if tenant is None else place._replace(tenant=tenant)
