"""Machines of Compute Engine: instances, and groups of them."""

from __future__ import annotations

from typing import Final

from planners.infrastructure.bill import Each, ResourceBill
from planners.infrastructure.defaults import GCE_BOOT_GIB
from planners.infrastructure.gcp_disks import disk, local_ssds
from planners.infrastructure.properties import Properties
from planners.infrastructure.value import Unknown

ACCELERATORS: Final = {
    "nvidia-tesla-t4": "accelerator_t4",
    "nvidia-tesla-v100": "accelerator_v100",
    "nvidia-tesla-p100": "accelerator_p100",
    "nvidia-tesla-p4": "accelerator_p4",
    "nvidia-tesla-k80": "accelerator_k80",
}
"""GPUs that are attached to N1 machines; those of A2, A3, A4, G2 and G4 are in the machine's price."""
LICENCES: Final = {"windows": "Windows", "rhel": "Red Hat", "sles": "SUSE"}
"""Word in an image's name → whose licence it is."""
TEMPLATES = ("compute:instancetemplate", "compute:regioninstancetemplate")
GROUPS = ("compute:instancegroupmanager", "compute:regioninstancegroupmanager")
ADDRESS = "external IPv4 address"


def instance(bill: ResourceBill) -> None:
    """A Compute Engine instance: machine, GPUs, disks, address."""
    own = bill.properties
    if bill.resource.type.endswith("FromTemplate") and own.get("machineType") is None:
        found = _template(bill, "sourceInstanceTemplate")
        if found is None:
            bill.machine("", why_unknown="its instance template is not in the preview")
            return
        _template_machine(bill, found, "once")
        return
    if own.text("desiredStatus") in ("TERMINATED", "SUSPENDED"):
        bill.note("the machine is stopped: its disks and addresses are billed")
    else:
        compute(bill, own, "once")
    no_words: tuple[str, ...] = ()
    boot = own.under("bootDisk")
    if boot.get("source") is None:
        start = boot.under("initializeParams")
        size, words = start.number("size"), no_words
        if size is None:
            size, words = float(GCE_BOOT_GIB.value), (GCE_BOOT_GIB.words,)
        disk(bill, "boot disk", size, start.get("type"), assumed=words)
        _licence(bill, start.text("image"), "once")
    local_ssds(bill, float(len(own.each("scratchDisks"))), "once")
    _addresses(bill, own, "once")


def group(bill: ResourceBill) -> None:
    """A managed instance group: its target size, or what its autoscaler starts with and grows to."""
    own = bill.properties
    count, ceiling, assumed = own.number("targetSize"), None, ""
    scalers = [
        one
        for one in bill.program.users(bill.resource)
        if one.type.endswith(("Autoscaler",)) and bill.resource in bill.program.linked(one, "target", *GROUPS)
    ]
    for scaler in scalers:
        policy = Properties(scaler.properties).under("autoscalingPolicy")
        ceiling = policy.number("maxReplicas")
        if count is None:
            count, assumed = policy.number("minReplicas"), "the smallest size of its autoscaler"
    if count is None:
        count, assumed = 0.0, "no target size is set: 0, the provider's default"
    bill.nodes(count, ceiling=ceiling, assumed=assumed)
    found = _template(bill, "versions") or _template(bill, "instanceTemplate")
    if found is None:
        bill.machine("", per="node", why_unknown="its instance template is not in the preview")
        return
    _template_machine(bill, found, "node")


def compute(
    bill: ResourceBill, own: Properties, per: Each, *, machine: object = None, assumed: tuple[str, ...] = ()
) -> None:
    """The vCPUs, memory and GPUs of one machine, without its disks and addresses."""
    machine = own.get("machineType") if machine is None else machine
    machine = machine.rpartition("/")[2] if isinstance(machine, str) else machine
    scheduling = own.under("scheduling")
    is_spot = (
        own.flag("spot")
        or own.flag("preemptible")
        or scheduling.flag("preemptible")
        or scheduling.text("provisioningModel") == "SPOT"
    )
    capacity = "spot" if is_spot else "on_demand"
    why = ""
    if own.flag("flexStart") or scheduling.text("provisioningModel") == "FLEX_START":
        why = "no price of flex-start in the price book"
    bill.machine(
        machine if isinstance(machine, str | Unknown) else "", capacity, per=per, assumed=assumed, why_unknown=why
    )
    if not isinstance(machine, str) or machine.startswith("n1-") or machine in ("f1-micro", "g1-small"):
        for gpu in own.each("guestAccelerators"):
            _accelerator(bill, gpu, per, is_spot=bool(is_spot))


def _accelerator(bill: ResourceBill, gpu: Properties, per: Each, *, is_spot: bool) -> None:
    count, kind = gpu.number("count"), gpu.text("type").rpartition("/")[2]
    if count == 0:
        return
    item = ACCELERATORS.get(kind)
    if item is None or is_spot:
        bill.unpriced(f"GPU {kind}{', spot' if is_spot else ''}", "GPU-hour", per=per)
    else:
        bill.item(f"GPU {kind}", item, count, per=per)


def _licence(bill: ResourceBill, image: str, per: Each) -> None:
    """Of images that Google bills a licence for: https://cloud.google.com/compute/disks-image-pricing"""
    found = next((name for word, name in LICENCES.items() if word in image.lower()), None)
    if found:
        bill.unpriced(f"{found} licence", "hour", per=per)


def _addresses(bill: ResourceBill, own: Properties, per: Each) -> None:
    """External addresses that no address of the program is for."""
    for network in own.each("networkInterfaces"):
        for access in network.each("accessConfigs"):
            if access.get("natIp") is None:
                bill.item(ADDRESS, "public_ipv4_in_use_vm", 1, per=per)


def _template(bill: ResourceBill, name: str) -> Properties | None:
    found = bill.program.linked(bill.resource, name, *TEMPLATES)
    return Properties(found[0].properties) if len(found) == 1 else None


def _template_machine(bill: ResourceBill, template: Properties, per: Each) -> None:
    compute(bill, template, per)
    for number, each in enumerate(template.each("disks")):
        if each.get("source") is not None:
            continue
        if each.text("type") == "SCRATCH" or each.text("diskType") == "local-ssd":
            local_ssds(bill, 1.0, per)
            continue
        size = each.number("diskSizeGb")
        words: tuple[str, ...] = ()
        is_boot = each.flag("boot") or (each.get("boot") is None and number == 0)
        if size is None and is_boot:
            size, words = float(GCE_BOOT_GIB.value), (GCE_BOOT_GIB.words,)
        _licence(bill, each.text("sourceImage"), per)
        disk(bill, "boot disk" if is_boot else f"disk {number + 1}", size, each.get("diskType"), per=per, assumed=words)
    _addresses(bill, template, per)
