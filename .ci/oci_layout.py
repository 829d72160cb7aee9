"""A root file system as an image in an OCI layout: one layer of sorted files, configuration, manifest and index."""

from __future__ import annotations

import hashlib
import json
import platform
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from image_settings import image_settings


def write_layout(tree: Path, layout: Path, *, epoch: int, version: str) -> str:
    """Write the image. Return the digest of its manifest."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layer = blobs / "layer"
    with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(tree.rglob("*")):
            tar.add(path, path.relative_to(tree), recursive=False, filter=lambda entry: normal(entry, epoch))
    with layer.open("rb") as file:
        diff = hashlib.file_digest(file, "sha256").hexdigest()
    layer_size = layer.stat().st_size
    layer.rename(blobs / diff)
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    settings = {
        "created": created, "architecture": machine, "os": "linux", "config": image_settings(),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}"]},
        "history": [{"created": created, "created_by": ".ci/build_image.py"}],
    }  # fmt: skip
    config = blob(blobs, settings)
    kind = "application/vnd.oci.image"
    manifest = blob(blobs, {
        "schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
        "config": {"mediaType": f"{kind}.config.v1+json", **config},
        "layers": [{"mediaType": f"{kind}.layer.v1.tar", "digest": f"sha256:{diff}", "size": layer_size}],
    })  # fmt: skip
    index = {"schemaVersion": 2, "manifests": [{
        "mediaType": f"{kind}.manifest.v1+json", **manifest, "platform": {"architecture": machine, "os": "linux"},
        "annotations": {"org.opencontainers.image.ref.name": version},
    }]}  # fmt: skip
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(manifest["digest"])


def normal(entry: tarfile.TarInfo, epoch: int) -> tarfile.TarInfo:
    """Keep numbers of owners and the older times of Debian's files."""
    entry.uname = entry.gname = ""
    entry.mtime = min(int(entry.mtime), epoch)
    return entry


def blob(blobs: Path, document: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(document, sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}
