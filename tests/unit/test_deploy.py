"""What is in deploy/: alerts and the dashboard name metrics that there are, and Prometheus takes them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import recommender
from recommender import settings

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
MONITORING = (ROOT / "docs" / "monitoring.md").read_text("utf-8")


def promtool(*arguments: str) -> None:
    """Run promtool, which has to be there."""
    found = shutil.which("promtool")
    assert found, "promtool is missing: `make tools` installs it, as does `apt install prometheus`"
    ran = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def expressions() -> list[str]:
    """What the dashboard asks Prometheus, with values in place of its variables."""
    panels: Any = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    asked = [each["expr"] for panel in panels for each in panel["targets"]]
    return [
        re.sub(r"\$\w+", ".*", each.replace("$__rate_interval", "5m").replace("$__interval", "5m"))
        for each in asked
    ]


def test_the_alerts_are_rules_and_fire_when_they_should() -> None:
    promtool("check", "rules", str(PROMETHEUS / "alerts.yml"))
    promtool("test", "rules", str(PROMETHEUS / "alerts_test.yml"))


def test_each_alert_is_tested_and_documented() -> None:
    alerts = re.findall(r"alert: (\w+)", (PROMETHEUS / "alerts.yml").read_text("utf-8"))
    tested = set(re.findall(r"alertname: (\w+)", (PROMETHEUS / "alerts_test.yml").read_text("utf-8")))
    assert len(alerts) == len(set(alerts))
    assert set(alerts) == tested
    assert alerts == re.findall(r"^\| `(Recommender\w+)` \|", MONITORING, re.MULTILINE)


def test_the_dashboard_asks_what_prometheus_understands(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(expressions())]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
    promtool("check", "rules", str(file))


@pytest.mark.parametrize("source", ["alerts", "dashboard"])
def test_only_documented_metrics_are_used(source: str) -> None:
    texts = {"alerts": (PROMETHEUS / "alerts.yml").read_text("utf-8"), "dashboard": DASHBOARD.read_text()}
    used = set(re.findall(r"\b(recommender_\w+|process_\w+)", texts[source]))
    documented = set(re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram) \|", MONITORING, re.MULTILINE))
    assert {each.removesuffix("_bucket") for each in used} - documented <= {"process_cpu_seconds_total"}


def test_the_panels_have_numbers_and_places_of_their_own() -> None:
    panels: Any = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for each in panels:
        at = each["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, each["title"]
        taken |= cells


def test_the_manifests_are_kubernetes() -> None:
    documents: Any = list(
        yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "recommender.yaml").read_text())
    )
    assert len(documents) == 7
    for each in documents:
        kubernetes_validate.validate(each, "1.33", strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):  # so a misspelt field would be found
        kubernetes_validate.validate({**documents[-1], "specs": {}}, "1.33", strict=True)


def test_compose_and_manifests_set_what_there_is() -> None:
    known = {each.variable for each in settings.describe()}
    texts = [(ROOT / "deploy" / name).read_text("utf-8") for name in ("Dockerfile", "compose.yml")]
    texts.append((ROOT / "deploy" / "kubernetes" / "recommender.yaml").read_text("utf-8"))
    for text in texts:
        assert set(re.findall(r"\bRECOMMENDER_[A-Z_]+\b", text)) <= known


def test_the_image_is_that_of_this_version() -> None:
    manifests = (ROOT / "deploy" / "kubernetes" / "recommender.yaml").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert recommender.__version__ == project["version"]
    assert re.findall(r"image: faust-recommender:(\S+)", manifests) == [project["version"]]
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^## (\S+)", changes, re.MULTILINE)[0] in (project["version"], "Unreleased")


def test_containers_may_do_nothing_that_they_need_not() -> None:
    compose: Any = yaml.safe_load((ROOT / "deploy" / "compose.yml").read_text("utf-8"))
    for name in ("worker-1", "worker-2"):
        worker = compose["services"][name]
        assert (worker["read_only"], worker["cap_drop"]) == (True, ["ALL"])
        assert worker["ports"][0].startswith("127.0.0.1:")
    image = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
    assert re.search(r"^USER 10001:10001$", image, re.MULTILINE)
    assert "HEALTHCHECK" in image
