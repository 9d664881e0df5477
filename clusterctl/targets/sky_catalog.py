"""SkyPilot's catalogue, from what we know: without one it fetches it from the internet, and fails where there is none.

A file without a checksum beside it counts as the user's own, and is never refreshed.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from clusterctl.catalog.lookup import load_gpus
from clusterctl.specfile.write import write_atomic

VERSION = "v8"
"""Of the catalogue's schema, in SkyPilot 0.14."""
CLOUDS = (
    "aws", "azure", "cudo", "do", "fluidstack", "gcp", "hyperbolic", "ibm", "lambda", "mithril", "nebius", "oci",
    "paperspace", "primeintellect", "runpod", "scp", "seeweb", "shadeform", "vast", "verda", "vsphere", "yotta",
)  # fmt: skip
"""Clouds that it asks when it looks for a GPU anywhere."""
VMS = (
    "InstanceType", "AcceleratorName", "AcceleratorCount", "vCPUs", "MemoryGiB", "GpuInfo", "Price", "SpotPrice",
    "Region", "AvailabilityZone",
)  # fmt: skip


def write_catalog(home: Path) -> None:
    """Names of all GPUs that we know, and clouds that offer nothing: a schedulers' own machines are no offers."""
    folder = home / ".sky" / "catalogs" / VERSION
    files = {f"{cloud}/vms.csv": _csv([VMS]) for cloud in CLOUDS}
    names = [(name, "['Kubernetes']") for name in load_gpus()]
    files["common/accelerators.csv"] = _csv([("AcceleratorName", "Clouds"), *names])
    for name, text in files.items():
        file = folder / name
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, text)


def _csv(rows: list[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
