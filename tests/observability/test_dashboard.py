"""The dashboard has the fields that Grafana's documentation asks for, and the alerts have pages."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from metric_families import samples
from needs import lacking

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy/grafana/streamd.json").read_text())
ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
UNIT_TESTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts_test.yml").read_text())["tests"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
KINDS = {"stat", "timeseries", "heatmap", "table"}


@pytest.mark.parametrize(
    "queries",
    [
        [target["expr"] for panel in PANELS for target in panel["targets"]],
        [rule["expr"] for rule in ALERTS],
    ],
    ids=["dashboard", "alerts"],
)
def test_every_metric_of_a_query_is_one_of_the_server(queries: list[str]) -> None:
    used = {name for query in queries for name in re.findall(r"\bstreamd_\w+", query)}
    assert used
    assert used <= samples()


def test_the_dashboard_has_what_an_import_needs() -> None:
    assert DASHBOARD["title"] == DASHBOARD["uid"] == "streamd"
    assert DASHBOARD["schemaVersion"] >= 36
    assert {"panels", "templating", "time", "refresh", "annotations"} <= DASHBOARD.keys()
    assert DASHBOARD.get("id") is None, "the id is the database's own"
    variables = {v["name"]: v["type"] for v in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource": "datasource", "instance": "query"}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.services
def test_grafanas_own_types_know_every_field_of_the_dashboard() -> None:
    try:
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
        from grafana_foundation_sdk.cog.plugins import register_default_plugins
        from grafana_foundation_sdk.models.dashboard import Dashboard
    except ImportError:
        lacking("grafana-foundation-sdk is not installed (streamd-voice[services])")
    register_default_plugins()
    written = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(DASHBOARD)))
    # They drop what they do not know, and write out defaults.
    assert _only(DASHBOARD, written) == DASHBOARD


def _only(asked: Any, given: Any) -> Any:
    """Return of `given` what `asked` has too."""
    if isinstance(asked, dict) and isinstance(given, dict):
        return {name: _only(asked[name], given[name]) for name in asked if name in given}
    if isinstance(asked, list) and isinstance(given, list):
        return [_only(a, b) for a, b in zip(asked, given, strict=True)]
    return given


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["type"] in KINDS
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    refs = [target["refId"] for target in panel["targets"]]
    assert refs == sorted(set(refs))
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
        assert '$instance"' in target["expr"] or "ALERTS" in target["expr"]
    if panel["type"] in ("stat", "timeseries"):
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_no_panel_covers_another() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do_and_where_to_read_more(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "description", "runbook_url"}
    assert "$labels.instance" in notes["summary"]
    page, anchor = notes["runbook_url"].split("#")
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(ROOT / page)


def test_each_alert_has_a_unit_test_and_a_section() -> None:
    alerts = [rule["alert"] for rule in ALERTS]
    assert {test["name"] for test in UNIT_TESTS} >= set(alerts)
    page = (ROOT / "docs/run/alerts.md").read_text()
    assert re.findall(r"^### (\w+)$", page, re.MULTILINE) == alerts
