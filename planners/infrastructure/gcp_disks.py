"""Disks of Compute Engine: persistent disks, hyperdisks, local SSDs."""

from __future__ import annotations

from typing import Final

from planners.infrastructure.bill import AFTER_APPLY, Each, ResourceBill
from planners.infrastructure.defaults import GCE_DISK_TYPE, LOCAL_SSD_GB
from planners.infrastructure.properties import Number
from planners.infrastructure.value import UNKNOWN

DISK_ITEMS: Final = {
    "pd-standard": "block_pd_standard",
    "pd-balanced": "block_pd_balanced",
    "pd-ssd": "block_pd_ssd",
    "pd-extreme": "block_pd_extreme",
    "hyperdisk-balanced": "block_hyperdisk_balanced_storage",
    "hyperdisk-extreme": "block_hyperdisk_extreme_storage",
}
HYPERDISK_FREE_IOPS, HYPERDISK_FREE_MBPS = 3000.0, 140.0
"""Part of a balanced hyperdisk's price: https://cloud.google.com/compute/disks-image-pricing"""


def disk(
    bill: ResourceBill,
    name: str,
    size: Number,
    kind: object,
    *,
    per: Each = "once",
    regional: bool = False,
    assumed: tuple[str, ...] = (),
) -> None:
    """A persistent disk or hyperdisk by its size."""
    if kind is None:
        kind, assumed = GCE_DISK_TYPE.value, (*assumed, GCE_DISK_TYPE.words)
    if not isinstance(kind, str) or not kind:
        bill.unpriced(name, "GB-month", why=f"its disk type is {AFTER_APPLY}", per=per)
        return
    kind = kind.rpartition("/")[2]
    item = DISK_ITEMS.get(kind)
    if item is None:
        bill.unpriced(f"{name}, {kind}", "GB-month", size, per=per)
        return
    suffix = "_regional" if regional else ""
    why = "" if size is not None else "its size is that of its image or snapshot, which is not in the preview"
    title = f"{name}, {kind}{', two zones' if regional else ''}"
    bill.item(title, item + suffix, size, per=per, assumed=assumed, why_unknown=why)


def local_ssds(bill: ResourceBill, count: Number, per: Each) -> None:
    """Local SSDs of one machine, by their number."""
    if count is None or count == 0:
        return
    size = count * float(LOCAL_SSD_GB.value) if isinstance(count, float) else UNKNOWN
    bill.item("local SSD", "local_ssd", size, per=per, assumed=(LOCAL_SSD_GB.words,))
