"""Software bill of materials of the container image: its Python distributions and its Debian packages."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL


def written_sbom(tree: Path, packages: str, *, epoch: int, version: str) -> str:
    """Return a CycloneDX document that depends on nothing but the installed parts."""
    about = Component(name="threada", version=version, type=ComponentType.CONTAINER, bom_ref="image")
    bom = Bom(components=[*python_components(tree / packages), *debian_components(tree)])
    bom.metadata.component = about
    bom.register_dependency(about, bom.components)
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, UTC)
    names = "\n".join(sorted(str(component.purl) for component in bom.components))
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, names)
    return str(JsonV1Dot6(bom).output_as_string(indent=1))


def python_components(site: Path) -> list[Component]:
    found = []
    for distribution in distributions(path=[str(site)]):
        name = re.sub(r"[-_.]+", "-", distribution.name).lower()
        licence = distribution.metadata.get("License-Expression") or ""
        found.append(
            Component(
                name=name,
                version=distribution.version,
                purl=PackageURL("pypi", None, name, distribution.version),
                bom_ref=f"pypi:{name}",
                licenses=[DisjunctiveLicense(name=licence)] if licence else [],
            )
        )
    return found


def debian_components(tree: Path) -> list[Component]:
    return [
        Component(
            name=entry["Package"],
            version=entry["Version"],
            purl=PackageURL("deb", "debian", entry["Package"], entry["Version"], {"arch": entry["Architecture"]}),
            bom_ref=f"deb:{entry['Package']}",
        )
        for entry in debian_packages(tree)
    ]


def debian_packages(tree: Path) -> list[dict[str, str]]:
    """Return name, version and architecture of each installed package."""
    blocks = (tree / "var/lib/dpkg/status").read_text().strip().split("\n\n")
    return [dict(re.findall(r"^(Package|Version|Architecture): (.*)$", block, re.MULTILINE)) for block in blocks]
