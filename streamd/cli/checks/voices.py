"""The store: its key, its voices, and the thresholds and scales that hold for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

from streamd.cli.checks.check import Check, failed
from streamd.cli.runtime import ENROL_AGAIN, about_other_models, open_voices
from streamd.config import Config, key_path, store_path
from streamd.errors import StreamdError, Unavailable
from streamd.modules.voice_models import VoiceModels
from streamd.naming import DEFAULT_TENANT
from streamd.store import newkey, opening
from streamd.store.base import Store, ToEnrolAgain, to_enrol_again
from streamd.store.cipher import load_key
from streamd.voices import voice_models


def look(config: Config) -> Iterator[Check]:
    """Check the store and all that is in it, without making one or bringing it up to date."""
    try:
        if not opening.exists(config.store, os.environ):
            yield _none_yet(config)
        elif opening.is_older(config.store, os.environ):
            yield Check(
                "store",
                "written by an older streamd: the next `streamd serve` brings it up to date, and "
                "an older one does not read it then; copy the file first, to be able to go back",
                False,
            )
        else:
            with closing(open_voices(config)) as store:
                models = voice_models(config)
                yield _voices(store, models)
                yield from _thresholds(store, models)
                yield from _change_of_key(config)
    except StreamdError as error:
        yield failed("store", error)
    yield from _scale(voice_models(config))


def _none_yet(config: Config) -> Check:
    """Check the key of a store that will be made.

    Raises:
        ConfigError: The file of the key is none of ours, or others may read it.
        Unavailable: It cannot be read.
    """
    key = key_path(os.environ, config.store.key_path)
    try:
        load_key(key)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Unavailable(
            f"key {key}: {error.strerror}: let the server's user read it, as with "
            f"`sudo chown USER {key}`"
        ) from None
    path = store_path(config.store.path, os.environ)
    return Check("store", f"none yet; the first start makes {path}")


def _voices(store: Store, models: VoiceModels) -> Check:
    count, unknown, by_windows = 0, list[str](), list[str]()
    for tenant in store.tenants():
        found = store.of(tenant).speakers()
        count += len(found)
        again = to_enrol_again(found, models)
        of = "" if tenant == DEFAULT_TENANT else f" (tenant {tenant})"
        unknown += [name + of for name in again.unknown]
        by_windows += [name + of for name in again.by_windows]
    result = f"{count} enrolled {'voice' if count == 1 else 'voices'}"
    said = about_other_models(ToEnrolAgain(unknown, by_windows), models)
    return Check("store", ". ".join([result, *said, ENROL_AGAIN] if said else [result]), not said)


def _change_of_key(config: Config) -> Iterator[Check]:
    """Say where a change of the key was interrupted."""
    new = newkey.pending(key_path(os.environ, config.store.key_path))
    if new.exists():
        yield Check(
            "store key",
            f"its change was interrupted, and {new} may open the store already: keep both keys, "
            "and run `streamd store rekey`, which completes it",
            False,
        )


def _thresholds(store: Store, models: VoiceModels) -> Iterator[Check]:
    """Say where calibrated thresholds are not in force, because the voice model is another one."""
    what, model = "thresholds", models.deciding
    stored = [(t, one) for t in store.tenants() for one in store.of(t).calibrations()]
    tenants = sorted({tenant for tenant, one in stored if one.model == model})
    unused = sorted({tenant for tenant, one in stored if one.model != model} - set(tenants))
    if unused:
        yield Check(
            what,
            f"those of {', '.join(unused)} were calibrated for another voice model than {model} "
            "and are not in force: `streamd speakers calibrate --apply --tenant NAME` calibrates "
            "them anew",
            False,
        )
    elif tenants:
        yield Check(what, f"calibrated for {', '.join(tenants)}")


def _scale(models: VoiceModels) -> Iterator[Check]:
    """Say where nobody measured what the scores of the voice model mean."""
    if models.scale.is_provisional:
        yield Check(
            "scores",
            f"those of {models.deciding} are on a provisional scale, so speaker.thresholds are "
            "guesses: `streamd speakers fit FOLDER` fits it to recordings of many speakers",
            False,
        )
