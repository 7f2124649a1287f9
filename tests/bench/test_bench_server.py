"""The server that the bench starts has nothing to do with what the configuration serves."""

import urllib.request
from pathlib import Path

import pytest
from daemons import settings_of_the_run
from waiting import HANG_S

from streamd.bench.metrics import look, metrics_url
from streamd.bench.server import OwnServer
from streamd.models.library import default_directory


def test_it_uses_neither_the_store_nor_the_access_rules_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, value in {
        "STREAMD_DATA": str(tmp_path),
        "STREAMD_MODELS": str(default_directory()),
        "STREAMD_STORE__URL": "postgresql://nobody@127.0.0.1:1/voices",
        "STREAMD_STORE__KEY_PATH": str(tmp_path / "key"),
        "STREAMD_ACCESS__ALLOW_IPS": '["192.0.2.1"]',
        "STREAMD_ACCESS__KEYS": "always",
        "STREAMD_ACCESS__AUDIT_PATH": str(tmp_path / "audit.jsonl"),
        "STREAMD_KEY": "sk_1",
        **settings_of_the_run(),
    }.items():
        monkeypatch.setenv(name, value)
    with OwnServer(None, max_streams=1) as own:
        url = metrics_url(own.url)
        assert look(url) is not None
        health = url.replace("/metrics", "/health")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(health, timeout=HANG_S) as answer:
            assert answer.status == 200
    assert list(tmp_path.iterdir()) == []
