"""Packs layers into an image archive that `ctr images import` takes: no engine, no registry."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

MEDIA = "application/vnd.oci.image"


def write_image(
    archive: Path, name: str, layers: Sequence[Path], environment: Sequence[str], command: Sequence[str] = ("/bin/sh",)
) -> None:
    """layers: tar files, the lowest first."""
    digests = [_digest(layer) for layer in layers]
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": list(environment), "Cmd": list(command)},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        }
    )
    described = [
        {"mediaType": f"{MEDIA}.layer.v1.tar", "digest": f"sha256:{digest}", "size": layer.stat().st_size}
        for layer, digest in zip(layers, digests, strict=True)
    ]
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{MEDIA}.manifest.v1+json",
            "config": _described(f"{MEDIA}.config.v1+json", config),
            "layers": described,
        }
    )
    named = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    entry = _described(f"{MEDIA}.manifest.v1+json", manifest) | {"annotations": named}
    index = _json({"schemaVersion": 2, "manifests": [entry]})
    with tarfile.open(archive, "w") as packed:
        for path, content in (("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", index)):
            _add(packed, path, content)
        for blob in (config, manifest):
            _add(packed, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        for layer, digest in zip(layers, digests, strict=True):
            packed.add(layer, f"blobs/sha256/{digest}", recursive=False)


def _digest(file: Path) -> str:
    """Of a layer, noted beside it: half a gigabyte takes seconds."""
    note = file.with_suffix(".sha256")
    if not note.exists() or note.stat().st_mtime < file.stat().st_mtime:
        with file.open("rb") as content:
            note.write_text(hashlib.file_digest(content, "sha256").hexdigest())
    return note.read_text()


def _described(media: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _add(packed: tarfile.TarFile, path: str, content: bytes) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.uid = len(content), 0o644, os.getuid()
    packed.addfile(entry, io.BytesIO(content))
