"""Which changes of the configuration a running server takes."""

import msgspec
import pytest

from streamd.config import Config, describe, load
from streamd.config.live import LIVE, change


def test_every_live_key_exists() -> None:
    assert {setting.key for setting in describe(Config())} >= LIVE


@pytest.mark.parametrize("key", sorted(LIVE))
def test_a_live_key_is_taken(key: str) -> None:
    values = {"access.allow_ips": '["127.0.0.1"]', "server.origins": '["https://example.org"]'}
    values |= {"server.trusted_proxies": '["::1"]', "log.level": "debug"}
    name = "STREAMD_" + key.upper().replace(".", "__")
    new = load(None, {name: values.get(key, "7")})
    found = change(Config(), new)
    assert (found.taken, found.waiting) == ([key], [])
    section, field = key.split(".")
    wanted = getattr(getattr(new, section), field)
    assert getattr(getattr(found.config, section), field) == wanted
    assert wanted != getattr(getattr(Config(), section), field)


def test_what_needs_a_restart_is_named_and_not_taken() -> None:
    new = load(None, {"STREAMD_SERVER__PORT": "9000", "STREAMD_SERVER__DRAIN_S": "3"})
    found = change(Config(), new)
    assert found.taken == ["server.drain_s"]
    assert found.waiting == ["server.port"]
    assert found.config.server == msgspec.structs.replace(Config().server, drain_s=3.0)


def test_the_same_configuration_changes_nothing() -> None:
    found = change(Config(), load(None, {}))
    assert (found.taken, found.waiting) == ([], [])
    assert found.config == Config()
