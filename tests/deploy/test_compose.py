"""deploy/compose: what the Compose specification asks for, and what keeps the services safe."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from daemons import Daemon, keys
from prometheus_server import PrometheusServer

import streamd

COMPOSE = Path(__file__).parents[2] / "deploy/compose"
OPEN = {"streamd"}
"""Services whose port other machines may reach."""

pytestmark = pytest.mark.services


def parsed(name: str) -> Any:
    import yaml  # of streamd-voice[services]

    return yaml.safe_load((COMPOSE / name).read_text())


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = parsed("compose.yaml")["services"]
    return found


def test_the_file_is_one_of_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, COMPOSE / "compose.yaml"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_that_a_container_gets_is_there(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE / source).exists(), (name, source)
                assert volume.endswith(":ro"), (name, volume)


def test_images_have_versions_and_services_have_no_rights(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        tag = service["image"].rpartition(":")[2]
        assert tag[0].isdigit() or tag[0] == "v", (name, tag)
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert services["streamd"]["image"] == f"streamd:{streamd.__version__}"


def test_only_streamd_which_has_tls_is_open_to_other_machines(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        for port in service["ports"]:
            assert name in OPEN or port.startswith("127.0.0.1:"), (name, port)
    assert "tls_cert" in (COMPOSE / "streamd/streamd.toml").read_text()


def test_every_secret_is_a_file_of_the_operator(services: dict[str, dict[str, Any]]) -> None:
    secrets = parsed("compose.yaml")["secrets"]
    assert {name for one in services.values() for name in one.get("secrets", ())} == set(secrets)
    for secret in secrets.values():
        assert secret["file"].startswith("./secrets/")
    for service in services.values():
        for name in service.get("environment", {}):
            assert "PASSWORD" not in name or name.endswith("__FILE"), name


def test_grafana_finds_the_dashboard_and_prometheus() -> None:
    assert parsed("grafana/datasources.yaml")["datasources"][0]["url"] == "http://prometheus:9090"
    path = parsed("grafana/dashboards.yaml")["providers"][0]["options"]["path"]
    mounts = dict(
        volume.split(":")[1::-1]
        for volume in parsed("compose.yaml")["services"]["grafana"]["volumes"]
    )
    assert list((COMPOSE / mounts[path]).glob("*.json"))


async def test_prometheus_gets_the_metrics_of_a_server_with_tls_and_keys(tmp_path: Path) -> None:
    keys(tmp_path, "certificate", "--host", "streamd")
    shutil.copy(tmp_path / "tls/authority.pem", tmp_path / "authority")
    key = keys(tmp_path, "create", "prometheus", "--scope", "admin")
    (tmp_path / "metrics-key").write_text(key + "\n")
    tls = {
        "server__tls_cert": tmp_path / "tls/cert.pem",
        "server__tls_key": tmp_path / "tls/key.pem",
    }
    with Daemon(tmp_path, access__keys="always", **tls) as running:
        config = here(tmp_path).replace("streamd:8765", urlsplit(running.http_url).netloc)
        (home := tmp_path / "prometheus").mkdir()
        prometheus = PrometheusServer(home, config.replace("15s", "1s"))
        try:
            await running.eventually(lambda: is_up(prometheus))
            assert prometheus.get("rules")["groups"]
        finally:
            prometheus.close()


def is_up(prometheus: PrometheusServer) -> bool:
    found = prometheus.get("query", query='up{job="streamd"}')["result"]
    return [one["value"][1] for one in found] == ["1"]


def here(folder: Path) -> str:
    """The configuration of Prometheus, with secrets in a folder and this repository's alerts."""
    text = (COMPOSE / "prometheus.yml").read_text()
    text = text.replace("/etc/prometheus/alerts.yml", str(COMPOSE.parent / "prometheus/alerts.yml"))
    return text.replace("/run/secrets", str(folder))
