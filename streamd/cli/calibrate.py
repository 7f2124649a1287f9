"""`streamd speakers calibrate`: thresholds of your own voices."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn

from streamd.calibration.calibrate import (
    DEFAULT_FAR,
    MAX_FAR,
    MIN_FAR,
    Calibration,
    Calibrations,
    Material,
    calibrate,
)
from streamd.calibration.cohort import Cohort
from streamd.calibration.scores import MIN_ENROLMENTS, MIN_VOICES, Step
from streamd.calibration.tail import Estimate
from streamd.cli.common import TenantOption, note, read_config
from streamd.cli.place import Place, chosen
from streamd.cli.progress import bars
from streamd.cli.runtime import open_voices
from streamd.config import Config
from streamd.errors import WrongUsage
from streamd.modules.gallery import Channel
from streamd.places import key_path
from streamd.transport.http.rest.calibration import reply
from streamd.view.console import print_json, stdout
from streamd.view.histogram import histograms
from streamd.voices import voice_models

_TOO_MANY = 0.5
"""Share of owners' utterances not accepted from which a gallery is suspect."""
_CHANNELS = {"wide": "wide (rates above 8 kHz)", "narrow": "narrow (telephone)"}


def command(
    context: typer.Context,
    target_far: Annotated[
        float | None,
        typer.Option(
            "--target-far",
            min=MIN_FAR,
            max=MAX_FAR,
            help="Share of strangers that may be accepted; default: that of the thresholds in "
            f"force, else {DEFAULT_FAR}.",
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Put the thresholds in force for the tenant.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Go back to the thresholds of the configuration.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    tenant: TenantOption = None,
) -> None:
    """Say which thresholds suit your own voices, and how often they are wrong.

    It compares each enrolment with the voice that the others make, and with all other voices. It
    compares also 70 people of a corpus with your voices. A running server uses thresholds that are
    applied within two seconds.
    """
    if remove and (apply or target_far is not None):
        raise WrongUsage("--remove goes with neither --apply nor --target-far")
    place = chosen(context, tenant)
    config = read_config(place.config)
    models = voice_models(config)
    with closing(open_voices(config, place.tenant)) as store:
        if remove:
            store.calibrate(models.deciding, ())
            note("Removed. The thresholds of the configuration are in force.")
            return
        material = Material.read(store, models)
        cohort = Cohort.of_owner(models.ids, key_path(os.environ, config.store.key_path))
        before = {one.channel: one for one in material.stored if one.model == models.deciding}
        if apply and target_far is None and before:
            target_far = max(one.target_far for one in before.values())
        with _bar(not json) as step:
            source = material.without_stored() if apply else material
            found = calibrate(source, cohort, models, target_far, step)
        if apply:
            store.calibrate(models.deciding, found.chosen())
            found = found.in_force()
    if json:
        print_json(_described(found))
        return
    in_force = {channel: one.threshold for channel, one in before.items()}
    _show(found, in_force, config, place)


def _described(found: Calibrations) -> dict[str, Any]:
    described: dict[str, Any] = msgspec.to_builtins(reply(found))
    del described["processing_time_ms"]
    return described


def _show(
    found: Calibrations, before: Mapping[Channel, float], config: Config, place: Place
) -> None:
    console = stdout()
    voices = f"{found.voices} voice{'' if found.voices == 1 else 's'}"
    console.print(f"{voices}, compared by {found.model}", soft_wrap=True)
    if found.warning:
        console.print(f"Warning: {found.warning}.", style="yellow", soft_wrap=True)
    for channel, one in found.channels.items():
        console.print()
        console.print(_CHANNELS[channel], style="bold")
        for line in _sentences(one, found.voices):
            _say(console, line)
        configured = config.speaker.thresholds.of(channel).accept
        if one.applied:
            _say(console, "This threshold is in force.")
        elif channel in before:
            _say(console, f"In force now: {before[channel]:.3f}, calibrated.")
        else:
            _say(console, f"In force now: {configured:.3f}, of the configuration.")
        groups = {
            "strangers": one.scores.strangers.scores,
            "your other voices": one.scores.others.scores,
            "owners": one.scores.owners.scores,
        }
        shown = {name: scores for name, scores in groups.items() if scores}
        for text in histograms(shown, one.threshold, console.width - 2):
            console.print("  ", text, sep="", soft_wrap=True)
    if not all(one.applied for one in found.channels.values()):
        note(f"`streamd speakers calibrate{place.as_option} --apply` puts these in force.")


def _say(console: Console, line: str) -> None:
    """Print a sentence, indented, which a narrow terminal breaks between words."""
    console.print(Padding(line, (0, 0, 0, 2), expand=False))


def _sentences(one: Calibration, voices: int) -> Iterator[str]:
    if not one.is_own:
        yield (
            f"Fewer than {MIN_VOICES} voices have {MIN_ENROLMENTS} enrolments on this channel, so "
            "people of the cohort stand for them."
        )
    somebody = "the enrolled voice" if voices == 1 else "somebody enrolled"
    yield (
        f"A voice is accepted from a score of {one.threshold:.3f} on. Then {_percent(one.far)} of "
        f"strangers in the same room are taken for {somebody},"
    )
    yield f"and {_percent(one.frr)} of what enrolled people say is not accepted."
    if one.is_own and one.frr[0] > _TOO_MANY:
        yield (
            "That is too much. Is one person enrolled under two names? `streamd speakers delete "
            "NAME` deletes one of them."
        )


def _percent(share: Estimate) -> str:
    value, low, high = (100 * part for part in share)
    return f"{value:.1f} % (95 % interval {low:.1f} to {high:.1f})"


@contextmanager
def _bar(is_shown: bool) -> Iterator[Step]:
    with bars(BarColumn(), is_shown=is_shown) as progress:
        task = progress.add_task("comparing voices", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
