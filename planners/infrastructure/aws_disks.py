"""Disks of EC2: volumes, and the disks of machines."""

from __future__ import annotations

from typing import Final

from planners.infrastructure.bill import Each, ResourceBill
from planners.infrastructure.defaults import EBS_TYPE, EC2_ROOT_GIB
from planners.infrastructure.properties import Properties
from planners.infrastructure.value import UNKNOWN

STORAGE: Final = {
    "gp2": "block_gp2_storage",
    "gp3": "block_gp3_storage",
    "io1": "block_io1_storage",
    "io2": "block_io2_storage",
    "sc1": "block_sc1_storage",
    "st1": "block_st1_storage",
    "standard": "block_magnetic_storage",
}
GP3_FREE_IOPS, GP3_FREE_MBPS = 3000.0, 125.0
"""Part of a gp3 volume's price: https://aws.amazon.com/ebs/pricing"""


def disk(
    bill: ResourceBill,
    name: str,
    properties: Properties,
    *,
    per: Each = "once",
    default_gib: float | None = None,
    size_words: str = "",
    default_type: str = str(EBS_TYPE.value),
    type_words: str = EBS_TYPE.words,
) -> None:
    """A volume by its size, type, IOPS and throughput."""
    assumed: list[str] = []
    size = properties.number("volumeSize", "size")
    if size is None and default_gib is not None:
        size = default_gib
        assumed.append(size_words)
    kind = properties.get("volumeType", "type")
    if kind is None:
        kind = default_type
        assumed += [type_words] if type_words else []
    if kind is UNKNOWN or not isinstance(kind, str):
        bill.unpriced(f"{name}", "GB-month", why="its disk type is known after apply", per=per)
        return
    if kind not in STORAGE:
        bill.unpriced(f"{name}, {kind}", "GB-month", why=f"disk type {kind} is not known here", per=per)
        return
    why = "" if size is not None else "its size is that of its snapshot or image, which is not in the preview"
    bill.item(f"{name}, {kind}", STORAGE[kind], size, per=per, assumed=assumed, why_unknown=why)
    _performance(bill, name, kind, properties, per)


def _performance(bill: ResourceBill, name: str, kind: str, properties: Properties, per: Each) -> None:
    iops = properties.number("iops")
    mbps = properties.number("throughput", "volumeThroughput")
    if kind == "gp3":
        if iops is UNKNOWN or (isinstance(iops, float) and iops > GP3_FREE_IOPS):
            extra = iops - GP3_FREE_IOPS if isinstance(iops, float) else UNKNOWN
            bill.item(f"{name}, IOPS over 3,000", "block_gp3_iops_over_3000", extra, per=per, unit="IOPS-month")
        if mbps is UNKNOWN or (isinstance(mbps, float) and mbps > GP3_FREE_MBPS):
            extra = mbps - GP3_FREE_MBPS if isinstance(mbps, float) else UNKNOWN
            bill.item(f"{name}, MB/s over 125", "block_gp3_throughput_over_125", extra, per=per, unit="MBps-month")
    elif kind in ("io1", "io2"):
        bill.item(f"{name}, IOPS", f"block_{kind}_iops", iops, per=per, unit="IOPS-month")


def machine_disks(bill: ResourceBill, properties: Properties, *, per: Each = "once") -> None:
    """Root and further disks of an instance or a launch configuration, whose root is a block of its own."""
    root = properties.under("rootBlockDevice")
    _root(bill, root, per)
    for each in properties.each("ebsBlockDevices"):
        disk(bill, f"disk {each.text('deviceName')}".strip(), each, per=per)


def template_disks(
    bill: ResourceBill, template: Properties, *, per: Each = "once", root_gib: float | None = None, root_words: str = ""
) -> None:
    """Disks of a launch template: the root is the mapping of its image's root device, mostly /dev/xvda or /dev/sda1."""
    mappings = [each for each in template.each("blockDeviceMappings") if each.text("virtualName") == ""]
    roots = [each for each in mappings if each.text("deviceName") in ("/dev/xvda", "/dev/sda1")]
    root = roots[0].under("ebs") if roots else Properties({})
    _root(bill, root, per, gib=root_gib, words=root_words)
    for each in mappings:
        if each is not (roots[0] if roots else None) and each.get("ebs") is not None:
            disk(bill, f"disk {each.text('deviceName')}".strip(), each.under("ebs"), per=per)


def _root(bill: ResourceBill, root: Properties, per: Each, *, gib: float | None = None, words: str = "") -> None:
    disk(
        bill,
        "root disk",
        root,
        per=per,
        default_gib=float(EC2_ROOT_GIB.value) if gib is None else gib,
        size_words=EC2_ROOT_GIB.words if gib is None else words,
        default_type="gp3",
        type_words="gp3, as Amazon Linux 2023 has it" if root.get("volumeSize") is not None else "",
    )
