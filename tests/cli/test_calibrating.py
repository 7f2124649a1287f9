"""`streamd speakers calibrate`: what it says, what it changes, and what doctor says of it."""

import json
from contextlib import closing

import numpy as np
import pytest
from conftest import Cli

from streamd.store import Enrolment, open_store
from streamd.store.calibrations import Calibrated

MODEL = "ge2e-resemblyzer-0.1.4"
GE2E = {"STREAMD_SPEAKER__MODEL": "ge2e"}


@pytest.fixture
def cli(tmp_path):
    """Four voices of the default tenant, made of numbers, with three enrolments each."""
    random = np.random.default_rng(0)
    with closing(open_store(tmp_path / "streamd.db", tmp_path / "key")) as store:
        for number in range(4):
            rows = random.standard_normal(256) + 0.3 * random.standard_normal((3, 256))
            store.enrol(
                f"voice {number}",
                [Enrolment(row.astype(np.float32), MODEL, "wide", 5000, "x") for row in rows],
            )
    return Cli(tmp_path)


def stored(cli, tenant="default"):
    with closing(open_store(cli.home / "streamd.db", cli.home / "key", tenant)) as store:
        return store.calibrations()


def test_it_says_what_there_could_be_and_changes_nothing(cli):
    done = cli("speakers", "calibrate", **GE2E)
    assert done.code == 0
    for what in ("4 voices", "wide", "narrow", "strangers", "your other voices", "owners", "▲"):
        assert what in done.out
    assert "In force now: 0.780, of the configuration." in done.out
    assert "Fewer than 3 voices" in done.out, "on the telephone"
    assert "--apply" in done.err
    assert stored(cli) == []


def test_what_is_applied_is_in_force_until_it_is_removed(cli):
    done = cli("speakers", "calibrate", "--target-far", "0.02", "--apply", "--json", **GE2E)
    said = json.loads(done.out)
    assert (said["model"], said["voices"], said["own"]) == (MODEL, 4, True)
    assert stored(cli) == [
        Calibrated(
            model=MODEL,
            channel=channel,
            target_far=0.02,
            threshold=said["channels"][channel]["threshold"],
        )
        for channel in ("narrow", "wide")
    ]
    assert "This threshold is in force." in cli("speakers", "calibrate", **GE2E).out
    again = json.loads(cli("speakers", "calibrate", "--apply", "--json", **GE2E).out)
    assert again == said, "the share stays if none is named"
    other = cli("speakers", "calibrate", "--target-far", "0.2", **GE2E)
    assert f"In force now: {said['channels']['wide']['threshold']:.3f}, calibrated." in other.out
    assert cli("speakers", "calibrate", "--remove", **GE2E).code == 0
    assert stored(cli) == []


def test_a_tenant_is_calibrated_by_itself(cli):
    assert cli("speakers", "calibrate", "--tenant", "acme", "--apply", **GE2E).code == 0
    assert stored(cli) == []
    assert len(stored(cli, "acme")) == 2


def test_thresholds_of_another_model_are_named(cli):
    assert cli("speakers", "calibrate", "--apply", **GE2E).code == 0
    other = {"STREAMD_SPEAKER__MODEL": "ge2e-int8"}
    done = cli("speakers", "calibrate", **other)
    assert f"thresholds were stored for {MODEL} and are not in force" in done.out
    checks = json.loads(cli("doctor", "--json", **other).out)
    (found,) = [check for check in checks if check["check"] == "thresholds"]
    assert found["status"] == "note"
    assert "default" in found["message"]
    checks = json.loads(cli("doctor", "--json", **GE2E).out)
    (found,) = [check for check in checks if check["check"] == "thresholds"]
    assert found == {"check": "thresholds", "status": "ok", "message": "calibrated for default"}
    assert cli("speakers", "calibrate", "--apply", **other).code == 0
    assert "not in force" not in cli("speakers", "calibrate", **other).out, "calibrated anew"


@pytest.mark.parametrize(
    "wrong",
    [
        ["--target-far", "0"],
        ["--target-far", "0.5"],
        ["--remove", "--apply"],
        ["--remove", "--target-far", "0.01"],
    ],
)
def test_what_cannot_be_meant_is_refused(cli, wrong):
    assert cli("speakers", "calibrate", *wrong).code == 2


def test_a_model_in_eight_bits_compares_voices_of_the_whole_model(cli):
    whole, eight = (
        json.loads(cli("speakers", "calibrate", "--json", STREAMD_SPEAKER__MODEL=model).out)
        for model in ("ge2e", "ge2e-int8")
    )
    assert eight["own"]
    assert eight["channels"] == whole["channels"], "the embeddings are the same"
