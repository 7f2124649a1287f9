"""deploy/kubernetes: what a cluster would get of each overlay, rendered and checked."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from needs import needs

import streamd

KUBERNETES = Path(__file__).parents[2] / "deploy/kubernetes"
FOLDERS = ("base", "overlays/home", "overlays/fleet", "overlays/gpu")
VERSIONS = ("1.30", "1.33", "1.37")
OLDEST_KUSTOMIZE = 4
"""That of Debian 12's kubectl, 2.0, does not know the fields that today's asks for."""

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    needs("kubectl")
    about = run("kubectl", "version", "--client", "--output=json").stdout
    version = json.loads(about).get("kustomizeVersion", "v0")
    if int(version[1:].split(".")[0]) < OLDEST_KUSTOMIZE:
        # Also in CI: no package of Debian 12 brings a newer one.
        pytest.skip(f"kubectl with Kustomize {version} is too old; 4 is the oldest that will do")
    folder = tmp_path_factory.mktemp("rendered")
    files = {}
    for name in FOLDERS:
        done = run("kubectl", "kustomize", KUBERNETES / name)
        assert (done.returncode, done.stderr) == (0, ""), name
        files[name] = folder / f"{Path(name).name}.yaml"
        files[name].write_text(done.stdout)
    return files


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)


def objects(file: Path) -> dict[str, Any]:
    """The objects of a file by kind and name; a ConfigMap's name without its hash."""
    import yaml  # of streamd-voice[services]

    found = {}
    for one in yaml.safe_load_all(file.read_text()):
        name = one["metadata"]["name"]
        if one["kind"] == "ConfigMap":
            name = name.rpartition("-")[0]
        found[f"{one['kind']}/{name}"] = one
    return found


def pod(file: Path) -> dict[str, Any]:
    spec: dict[str, Any] = objects(file)["StatefulSet/streamd"]["spec"]["template"]["spec"]
    return spec


def containers(file: Path) -> list[dict[str, Any]]:
    return [*pod(file)["initContainers"], *pod(file)["containers"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(rendered: dict[str, Path], version: str) -> None:
    import kubernetes_validate  # of streamd-voice[services]
    import yaml

    for file in rendered.values():
        for one in yaml.safe_load_all(file.read_text()):
            kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("name", FOLDERS)
def test_the_pod_keeps_to_the_restricted_standard(rendered: dict[str, Path], name: str) -> None:
    spec = pod(rendered[name])
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in containers(rendered[name]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["image"].startswith(f"streamd:{streamd.__version__}")
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", FOLDERS)
def test_the_user_is_that_of_the_image(rendered: dict[str, Path], name: str) -> None:
    dockerfile = (KUBERNETES.parent / "Dockerfile").read_text()
    context = pod(rendered[name])["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in dockerfile
    assert context["fsGroup"] == context["runAsGroup"]


@pytest.mark.parametrize("name", FOLDERS)
def test_no_variable_of_the_cluster_is_taken_for_one_of_streamd(
    rendered: dict[str, Path], name: str
) -> None:
    assert pod(rendered[name])["enableServiceLinks"] is False


@pytest.mark.parametrize("name", FOLDERS)
def test_a_pod_has_time_to_drain(rendered: dict[str, Path], name: str, tmp_path: Path) -> None:
    spec = pod(rendered[name])
    config = configuration(rendered[name], tmp_path)
    wait_s = int(spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] > wait_s + config.server.drain_s + 10


@pytest.mark.parametrize("name", FOLDERS)
def test_the_configuration_is_one_that_streamd_takes(
    rendered: dict[str, Path], name: str, tmp_path: Path
) -> None:
    config = configuration(rendered[name], tmp_path)
    mounts = {mount["mountPath"] for mount in pod(rendered[name])["containers"][0]["volumeMounts"]}
    assert {"/data", "/etc/streamd", "/tmp"} <= mounts
    for path in (config.server.tls_cert, config.server.tls_key, config.store.key_path):
        assert not path or str(Path(path).parent) in mounts, path
    schemes = {probe["httpGet"].get("scheme", "HTTP") for probe in probes(rendered[name])}
    assert schemes == ({"HTTPS"} if config.server.tls_cert else {"HTTP"})


def configuration(file: Path, folder: Path) -> Any:
    from streamd.config import load

    data = objects(file)["ConfigMap/streamd-config"]["data"]
    (folder / "streamd.toml").write_text(data["streamd.toml"])
    return load(folder / "streamd.toml", {"STREAMD_DATA": str(folder)})


def probes(file: Path) -> list[dict[str, Any]]:
    container = pod(file)["containers"][0]
    return [container[f"{name}Probe"] for name in ("startup", "readiness", "liveness")]


@pytest.mark.parametrize("name", FOLDERS)
def test_services_and_policies_are_about_the_pods(rendered: dict[str, Path], name: str) -> None:
    found = objects(rendered[name])
    labels = found["StatefulSet/streamd"]["spec"]["template"]["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/name": "streamd"}
    for service in ("streamd", "streamd-pods"):
        assert found[f"Service/{service}"]["spec"]["selector"] == labels
    policy = found["NetworkPolicy/streamd"]["spec"]
    assert policy["podSelector"] == {"matchLabels": labels}
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert bool(policy.get("egress")) is (name == "overlays/fleet")
    if name == "overlays/fleet":
        assert found["PodDisruptionBudget/streamd"]["spec"]["selector"] == {"matchLabels": labels}


def test_secrets_of_the_fleet_may_be_read_by_the_pod_alone(rendered: dict[str, Path]) -> None:
    for name in ("overlays/home", "overlays/fleet"):
        secrets = [one["secret"] for one in pod(rendered[name])["volumes"] if "secret" in one]
        assert [one["defaultMode"] for one in secrets] == [0o440], name


AS_ALERTS = """
rule_files: [rules.yml]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - series: '{headroom}{{namespace="voice",pod="streamd-0"}}'
        values: "1+0x20 0.25+0x20"
      - series: '{headroom}{{namespace="voice",pod="streamd-1"}}'
        values: "1+0x20 1+0x20"
    promql_expr_test:
      - expr: '{query}'
        eval_time: 4m
        exp_samples:
          - {{labels: '{{pod="streamd-0"}}', value: 0}}
          - {{labels: '{{pod="streamd-1"}}', value: 0}}
      - expr: '{query}'
        eval_time: 9m
        exp_samples:
          - {{labels: '{{pod="streamd-0"}}', value: 0.75}}
          - {{labels: '{{pod="streamd-1"}}', value: 0}}
"""


def test_the_autoscaler_gets_a_metric_that_grows_with_the_load(
    rendered: dict[str, Path], tmp_path: Path
) -> None:
    """The autoscaler compares the mean over the pods with its target: 0.75 and 0 stay, at 0.6."""
    import yaml  # of streamd-voice[services]

    needs("promtool")
    autoscaler = objects(rendered["overlays/fleet"])["HorizontalPodAutoscaler/streamd"]["spec"]
    (metric,) = autoscaler["metrics"]
    (rule,) = yaml.safe_load((KUBERNETES / "overlays/fleet/prometheus-adapter.yaml").read_text())[
        "rules"
    ]
    assert rule["name"]["as"] == metric["pods"]["metric"]["name"]
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "600m"}
    replicas = objects(rendered["overlays/fleet"])["StatefulSet/streamd"]["spec"]
    assert "replicas" not in replicas  # an update of the object must not undo the autoscaler

    headroom = rule["name"]["matches"]
    query = rule["metricsQuery"]
    for name, text in {
        "<<.Series>>": headroom, "<<.LabelMatchers>>": 'namespace="voice",pod=~"streamd-.*"',
        "<<.GroupBy>>": "pod",
    }.items():  # fmt: skip
        query = query.replace(name, text)
    (tmp_path / "rules.yml").write_text("groups: []\n")
    (tmp_path / "test.yml").write_text(AS_ALERTS.format(headroom=headroom, query=query))
    done = run("promtool", "test", "rules", tmp_path / "test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_metric_of_the_autoscaler_is_one_of_streamd() -> None:
    from streamd.observability.metrics import Metrics

    rule = (KUBERNETES / "overlays/fleet/prometheus-adapter.yaml").read_text()
    assert "streamd_headroom_ratio" in {one.name for one in Metrics().registry.collect()}
    assert "matches: streamd_headroom_ratio\n" in rule


def test_prometheus_takes_the_scrape_job(tmp_path: Path) -> None:
    """All of it but the discovery of pods, which Debian leaves out of its Prometheus."""
    import yaml  # of streamd-voice[services]

    needs("promtool")
    (tmp_path / "key").touch()
    text = (KUBERNETES / "prometheus-scrape.yaml").read_text()
    config = yaml.safe_load(text.replace("/etc/prometheus/secrets/streamd", str(tmp_path)))
    assert config["scrape_configs"][0].pop("kubernetes_sd_configs") == [{"role": "pod"}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    done = run("promtool", "check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
