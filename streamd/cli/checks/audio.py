"""Audio: the microphone, and what keeps the decoders of files from harm."""

from __future__ import annotations

import grp
import os
from pathlib import Path

from streamd.cli.checks.check import Check
from streamd.cli.microphone import find_device, load_driver
from streamd.errors import StreamdError
from streamd.files.decoding import landlock

SOUND = Path("/dev/snd")


def decoder() -> Check:
    """Say whether a decoder is kept from files and programs."""
    if version := landlock.version():
        return Check("decoder", f"Landlock {version} keeps it from files and programs")
    return Check(
        "decoder",
        "no Landlock here: a file that exploits a fault of a decoder could read what streamd's "
        "user may read; use Linux 5.13 or newer, and a container that allows it",
        False,
    )


def microphone() -> Check:
    """Check the default microphone. Only `streamd mic` needs one, so its lack is no failure."""
    try:
        driver = load_driver()
        found = find_device(driver, None)
    except StreamdError as error:
        denied = refused()
        said = denied if denied is not None else str(error)
        return Check("microphone", f"{said} (only `streamd mic` needs one)", False)
    return Check("microphone", f"{found['name']}; `streamd mic --list` shows all devices")


def refused(folder: Path = SOUND) -> str | None:
    """Return what to do where this user may not open a device that records; None if it may.

    Args:
        folder: The devices of ALSA, where `pcmC0D0c` is one that records.
    """
    for device in sorted(folder.glob("pcm*c")):
        if not os.access(
            device, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids
        ):
            group = _group(device)
            return (
                f"this user may not open {device}, which is for the group {group}: "
                f"`sudo usermod -aG {group} $USER` and a new login; SupplementaryGroups={group} in "
                f"a systemd unit; --device {folder} --group-add {group} for a container"
            )
    return None


def _group(device: Path) -> str:
    number = device.stat().st_gid
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:  # of another machine, or of a container
        return str(number)
