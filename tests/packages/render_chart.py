"""Render the Helm chart: reads values as JSON, prints documents and problems as JSON.

Runs in the environment of `requirements.txt`, which is not that of the tests.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmError

CHART: Final = Path(__file__).resolve().parents[2] / "docs" / "operations" / "helm" / "threada"
KUBERNETES: Final = "1.34"
WITHOUT_SCHEMA: Final = {"ServiceMonitor"}
WARNING: Final = 2


def main() -> None:
    values = json.load(sys.stdin)
    documents: list[dict[str, Any]] = []
    try:
        report = lint(CHART, values, strict=True)
        problems = [entry["error"] for entry in report["messages"] if entry["severity"] >= WARNING] + report["errors"]
        rendered = Chart.load(CHART).render(values, name="threada", namespace="governance")
    except HelmError as error:
        problems, rendered = [str(error)], {}
    for path, text in rendered.items():
        for document in yaml.safe_load_all(text):
            if document:
                documents.append(document)
                problems += [f"{path}: {problem}" for problem in invalid(document)]
    json.dump({"documents": documents, "problems": problems}, sys.stdout)


def invalid(document: dict[str, Any]) -> list[str]:
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return [] if document["kind"] in WITHOUT_SCHEMA else [f"{document['kind']} has no schema"]
    except kubernetes_validate.ValidationError as error:
        return [str(error)]
    return []


if __name__ == "__main__":
    main()
