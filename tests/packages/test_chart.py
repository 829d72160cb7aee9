"""The Helm chart with three sets of values: linted, rendered, and validated against the schemas of Kubernetes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.packages.tools import tools

pytestmark = pytest.mark.packages
HELM: Final = Path(__file__).resolve().parents[2] / "docs" / "operations" / "helm"
EXAMPLES: Final = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((HELM / "examples").glob("*.yaml"))}
KINDS: Final = {
    "small": {
        "ConfigMap", "Deployment", "Job", "PersistentVolumeClaim", "Service", "StatefulSet",
    },
    "production": {
        "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Ingress", "Job", "NetworkPolicy", "PodDisruptionBudget",
        "Service", "ServiceMonitor", "StatefulSet",
    },
    "rabbitmq": {
        "ConfigMap", "Deployment", "NetworkPolicy", "PersistentVolumeClaim", "Service", "StatefulSet",
    },
}  # fmt: skip


def rendered(values: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    ran = subprocess.run(
        [tools() / "python", Path(__file__).with_name("render_chart.py")],
        input=json.dumps(values), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(ran.stdout)
    return found["documents"], found["problems"]


def pods(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the specifications of pods by the name of their process."""
    templates = [document["spec"]["template"] for document in documents if "template" in document.get("spec", {})]
    return {template["metadata"]["labels"]["app.kubernetes.io/component"]: template["spec"] for template in templates}


def variables(container: dict[str, Any]) -> set[str]:
    return {variable["name"] for variable in container["env"]}


@pytest.mark.parametrize("name", KINDS)
def test_examples_are_valid(name: str) -> None:
    documents, problems = rendered(EXAMPLES[name])
    assert problems == []
    assert {document["kind"] for document in documents} == KINDS[name]
    found = pods(documents)
    assert found.keys() == {"web", "worker", "sealer"} | ({"migrate"} if name != "rabbitmq" else set())
    for process, pod in found.items():
        assert (pod["automountServiceAccountToken"], pod["securityContext"]["runAsNonRoot"]) == (False, True)
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert container["resources"]["limits"]["memory"]
        (main,) = pod["containers"]
        assert ("DATABASE_URL" in variables(main)) == (process == "web")
        assert ("THREADA_PLATFORM_DATABASE_URL" in variables(main)) == (process != "web")
        assert ("THREADA_SEALING_KEY_FILE" in variables(main)) == (process == "sealer")
        assert ("THREADA_RECEIPT_KEY" in variables(main)) == (process in ("web", "worker"))


def test_workers_are_added_by_the_age_of_the_queue() -> None:
    documents, _ = rendered(EXAMPLES["production"])
    scalers = {entry["metadata"]["name"]: entry["spec"] for entry in documents if "Autoscaler" in entry["kind"]}
    (metric,) = scalers["threada-worker"]["metrics"]
    assert metric["external"]["metric"]["name"] == "threada_jobs_oldest_due_seconds"
    assert metric["external"]["target"] == {"type": "Value", "value": "5"}
    deployments = {entry["metadata"]["name"]: entry["spec"] for entry in documents if entry["kind"] == "Deployment"}
    assert [name for name, spec in deployments.items() if "replicas" in spec] == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"publicUrl": ""}, "publicUrl"),
        ({"settings": {"THREADA_SECRET_KEY": "s3cret"}}, "THREADA_SECRET_KEY"),
        ({"secrets": {"webDatabase": "postgresql://…"}}, "webDatabase"),
    ],
)
def test_missing_address_and_secrets_among_the_values_are_refused(changes: dict[str, Any], problem: str) -> None:
    documents, problems = rendered({**EXAMPLES["small"], **changes})
    assert documents == []
    assert any(problem in line for line in problems), problems
