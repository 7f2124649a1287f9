"""The models and the store, for the commands that need them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from rich.progress import BarColumn, TaskID

from streamd.access.audit.entry import Actor, Recorder
from streamd.access.audit.writer import AtOnce, Nowhere, journal
from streamd.access.audited import Audited
from streamd.backends import load_backend
from streamd.cli.common import note
from streamd.cli.progress import bars
from streamd.compose import wanted_models
from streamd.config import Config
from streamd.errors import ModelMissing
from streamd.models import catalogue, fetch
from streamd.models.library import Finding, Library, with_needs
from streamd.modules.voice_models import VoiceModels
from streamd.modules.words import CustomWords
from streamd.naming import DEFAULT_TENANT
from streamd.store import opening
from streamd.store.base import Store, ToEnrolAgain, to_enrol_again
from streamd.view.console import PlainColumn
from streamd.voices import WINDOWS_MODEL, speaker_models, voice_models

MAX_NAMED = 20
"""Names of voices in one sentence."""
ENROL_AGAIN = (
    "`streamd enroll NAME FILE…` enrols a voice with the model that the configuration names "
    "(speaker.model); the same files will do."
)


def open_voices(config: Config, tenant: str | None = None) -> Store:
    """Open the store of enrolled voices and own words, as a tenant sees it.

    It is an SQLite file, or a PostgreSQL database where `store.url` names one. Every change goes
    to the audit log.

    Args:
        config: The configuration, which says where the store is.
        tenant: Name of the tenant, checked; None is the default one.
    """
    tenant = tenant or DEFAULT_TENANT
    store = opening.open_configured(config.store, os.environ, tenant)
    return audited_by_command(store, config, tenant)


def audited_by_command(store: Store, config: Config, tenant: str) -> Audited:
    """Return a store whose changes go to the audit log, as made by whoever runs the command."""
    return Audited(store, tenant, audit_log(config), command_line())


def audit_log(config: Config) -> Recorder:
    """Return what writes the audit log, at once."""
    log = journal(config.access, os.environ)
    return Nowhere() if log is None else AtOnce(log)


def command_line() -> Actor:
    """Return the person who runs this command, for the audit log."""
    return Actor("command line", uid=os.getuid())


def own_words(config: Config, tenant: str | None = None) -> CustomWords:
    """Return a tenant's own wake words, without creating a store."""
    if not opening.exists(config.store, os.environ):
        return {}
    with closing(open_voices(config, tenant)) as store:
        return store.load_words()


def note_other_models(store: Store, config: Config, name: str | None = None) -> ToEnrolAgain:
    """Print and return the other-model enrolments of every voice, or of the one of a name."""
    models = voice_models(config)
    found = [voice for voice in store.speakers() if name in (None, voice.name)]
    again = to_enrol_again(found, models)
    if said := about_other_models(again, models):
        note(". ".join((*said, ENROL_AGAIN)))
    return again


def about_other_models(again: ToEnrolAgain, models: VoiceModels) -> list[str]:
    """Return what to say about other-model enrolments, without the stops."""
    said = []
    if again.unknown:
        said.append(
            f"Not enrolled with {models.deciding}, so not recognised: {_some(again.unknown)}"
        )
    if again.by_windows:
        said.append(
            f"Not enrolled with {models.deciding}, so recognised by {models.windows}, less "
            f"reliably: {_some(again.by_windows)}"
        )
    return said


def _some(names: Sequence[str]) -> str:
    """Return names as a list for a sentence, the first ones of very many."""
    listed = ", ".join(names[:MAX_NAMED])
    more = len(names) - MAX_NAMED
    return f"{listed} and {more} more" if more > 0 else listed


def ready_library(config: Config) -> Library:
    """Return the models that a configuration needs; missing ones are pulled.

    Raises:
        ModelMissing: One of them cannot be had.
    """
    try:
        return load_library(wanted_models(config))
    except ModelMissing as error:
        main = _main_model(config)
        lacking = {model.id for model in Library().missing()}
        if main not in lacking or lacking & with_needs(_cheaper(config)):
            raise
        # Whoever pulled the models of an older streamd has all of these.
        raise ModelMissing(
            f"{error}\nUntil then streamd runs without {main} if you set speaker.model = "
            f'"{WINDOWS_MODEL}": it identifies voices less reliably, by the model that is here.'
        ) from error


def _cheaper(config: Config) -> list[str]:
    """Return the models that a configuration needs without a main model of voices."""
    return [model for model in wanted_models(config) if model != _main_model(config)]


def _main_model(config: Config) -> str | None:
    """Return the catalogue id of the main model of voices; None if that of every window decides."""
    chosen, *others = speaker_models(config)
    return chosen.id if others else None


def is_fault(finding: Finding, config: Config) -> bool:
    """Return whether a model file is damaged, or missing although the configuration needs it."""
    if finding.status == "missing":
        return finding.model in with_needs(wanted_models(config))
    return finding.status != "ok"


def load_library(wanted: Collection[str]) -> Library:
    """Models by their ids; what is missing is pulled."""
    library = Library()
    lacking = [model.id for model in library.missing() if model.id in wanted]
    if lacking:
        note(
            f"Not in {library.directory} yet: {', '.join(lacking)}. Fetching and converting them, "
            "this one time."
        )
        pull(library, wanted)
    return library


def pull(
    library: Library, ids: Collection[str], sources: Mapping[str, Path] | None = None
) -> list[str]:
    """Fetch and convert what is missing or damaged, with progress bars.

    First the terms of the published models among them are printed.

    Args:
        library: Where to.
        ids: The models wanted.
        sources: Paths of published models, by id.

    Returns:
        Ids of the models that were pulled.
    """
    absent = {model.id for model in library.missing()}
    for model in (catalogue.model(model_id) for model_id in dict.fromkeys(ids)):
        if model.published is not None and (model.id in absent or sources):
            note(f"{model.id}: licence {model.licence}. Trained on: {model.training_data}")
    with _bars() as report:
        pulled = library.pull(load_backend("onnxruntime").load, report, ids, sources)
    return [model.id for model in pulled]


@contextmanager
def _bars() -> Iterator[fetch.Report]:
    """A bar for each file that is fetched and one for all conversions; in a pipe a line each."""
    with bars(BarColumn(), PlainColumn("amount"), stays=True) as progress:
        tasks: dict[str, TaskID] = {}
        said: set[str] = set()

        def report(step: fetch.Progress) -> None:
            if step.stage == "fetch":
                what = f"fetching {step.name}"
                amount = f"{step.done / 1e6:.1f} of {step.total / 1e6:.1f} MB"
                key = what
            else:
                what = f"converting and checking {step.name}"
                amount = f"{step.done} of {step.total}"
                key = "convert"
            if key not in tasks:
                tasks[key] = progress.add_task("", total=step.total, amount="")
            if progress.disable and what not in said:
                said.add(what)
                note(what)
            progress.update(
                tasks[key],
                description=what,
                completed=step.done,
                total=step.total,
                amount=amount,
            )

        yield report
