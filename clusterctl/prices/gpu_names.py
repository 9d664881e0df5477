"""One table: what the price sources call an accelerator, and our name for it."""

from __future__ import annotations

GPU_BY_ACCELERATOR = {
    "A100-40GB": "A100-40",
    "A100-80GB": "A100-80",
    "A100-80GB-PCIe": "A100-80-PCIe",
    "H100-SXM-80GB": "H100",
    "H100-NVL-94GB": "H100-NVL",
    "H200": "H200",
    "B200": "B200",
    "B300": "B300",
    "GB200": "GB200",
    "L40S": "L40S",
    "L4": "L4",
    "A10G": "A10G",
    "A10": "A10",
}
"""Accelerator as written in the shape sources -> canonical GPU name (the one `GpuSpec.name` uses)."""
