"""Machines of AWS by the number: auto scaling groups, fleets, EKS node groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planners.infrastructure.aws_disks import machine_disks, template_disks
from planners.infrastructure.aws_machines import (
    ADDRESS,
    TEMPLATES,
    capacity_type,
    compute,
    launch_template,
    subnet_addresses,
)
from planners.infrastructure.bill import AFTER_APPLY, Each, ResourceBill
from planners.infrastructure.defaults import EKS_NODE_DISK_GIB, EKS_NODE_DISK_TYPE, EKS_NODE_MACHINE
from planners.infrastructure.properties import Number, Properties
from planners.infrastructure.value import UNKNOWN


def auto_scaling_group(bill: ResourceBill) -> None:
    """By the capacity at its start; at most `maxSize`."""
    own = bill.properties
    count, assumed = own.number("desiredCapacity"), ""
    if count is None:
        count, assumed = own.number("minSize"), "the smallest size: no desired capacity is set"
    bill.nodes(count, ceiling=own.number("maxSize"), assumed=assumed)
    mixed = own.under("mixedInstancesPolicy")
    if own.get("mixedInstancesPolicy") is not None:
        _mixed(bill, mixed)
    else:
        name = "launchConfiguration" if own.get("launchConfiguration") is not None else "launchTemplate"
        template = launch_template(bill, name)
        if template is None:
            _unknown_machines(bill, "its launch template is not in the preview")
            return
        compute(bill, template.get("instanceType"), capacity_type(template), template, per="node")
        _disks_of(bill, template, per="node")
    if own.get("warmPool") is not None:
        bill.note("stopped or running machines of its warm pool are not in the sum")
    _pool_addresses(bill, "vpcZoneIdentifiers", mixed if own.get("mixedInstancesPolicy") is not None else None)


def ec2_fleet(bill: ResourceBill) -> None:
    """An EC2 fleet by its target capacity."""
    own = bill.properties
    target = own.under("targetCapacitySpecification")
    total = target.number("totalTargetCapacity")
    bill.nodes(total)
    spot, on_demand = target.number("spotTargetCapacity"), target.number("onDemandTargetCapacity")
    default = target.text("defaultTargetCapacityType") or "on-demand"
    shares = _shares(total, on_demand, spot, default)
    overrides = [each for config in own.each("launchTemplateConfigs") for each in config.each("overrides")]
    templates = _templates(bill, "launchTemplateConfigs")
    _any_of(bill, overrides, templates, shares)


def spot_fleet(bill: ResourceBill) -> None:
    """A spot fleet request by its target capacity."""
    own = bill.properties
    bill.nodes(own.number("targetCapacity"))
    specifications = own.each("launchSpecifications")
    if specifications:
        _any_of(bill, specifications, specifications, {"spot": 1.0})
        return
    overrides = [each for config in own.each("launchTemplateConfigs") for each in config.each("overrides")]
    _any_of(bill, overrides, _templates(bill, "launchTemplateConfigs"), {"spot": 1.0})


def node_group(bill: ResourceBill) -> None:
    """An EKS managed node group: the machines of its launch template where it has one."""
    own = bill.properties
    scaling = own.under("scalingConfig")
    count, assumed = scaling.number("desiredSize"), ""
    if count is None:
        count, assumed = scaling.number("minSize"), "the smallest size: no desired size is set"
    if own.is_unknown("scalingConfig"):
        count = UNKNOWN
    bill.nodes(count, ceiling=scaling.number("maxSize"), assumed=assumed)
    capacity = {"SPOT": "spot", "CAPACITY_BLOCK": "capacity_block"}.get(own.text("capacityType"), "on_demand")
    template = launch_template(bill, "launchTemplate")
    has_template = own.get("launchTemplate") is not None
    _node_machines(bill, capacity, template, has_template=has_template)
    if own.text("amiType").startswith("WINDOWS"):
        bill.unpriced("Windows licence", "hour", per="node")
    if has_template and template is None:
        bill.unpriced("root disk", "GB-month", why="its launch template is not in the preview", per="node")
    elif template is not None:
        words = f"{EKS_NODE_DISK_GIB.words}: its launch template has no root disk"
        template_disks(bill, template, per="node", root_gib=float(EKS_NODE_DISK_GIB.value), root_words=words)
    else:
        size = own.number("diskSize")
        assumptions = [EKS_NODE_DISK_TYPE.words]
        if size is None:
            size = float(EKS_NODE_DISK_GIB.value)
            assumptions.insert(0, EKS_NODE_DISK_GIB.words)
        bill.item("root disk, gp2", "block_gp2_storage", size, per="node", assumed=assumptions)
    _pool_addresses(bill, "subnetIds", template)


def _node_machines(bill: ResourceBill, capacity: str, template: Properties | None, *, has_template: bool) -> None:
    types = bill.properties.list("instanceTypes")
    if bill.properties.is_unknown("instanceTypes"):
        bill.machine(UNKNOWN, capacity, per="node")
    elif types:
        if capacity == "on_demand" or len(types) == 1:
            words = (f"the first of its {len(types)} machine types",) if len(types) > 1 else ()
            bill.machine(types[0], capacity, per="node", assumed=words)
        else:
            _dearest(bill, types, capacity, 1.0)
    elif template is not None and template.get("instanceType") is not None:
        from_template = capacity_type(template)
        bill.machine(template.get("instanceType"), capacity if capacity != "on_demand" else from_template, per="node")
    elif has_template and template is None:
        _unknown_machines(bill, "its launch template is not in the preview")
    else:
        bill.machine(str(EKS_NODE_MACHINE.value), capacity, per="node", assumed=(EKS_NODE_MACHINE.words,))


def _mixed(bill: ResourceBill, mixed: Properties) -> None:
    """A group that mixes machines and on demand with spot."""
    spread = mixed.under("instancesDistribution")
    base = spread.number("onDemandBaseCapacity")
    percent = spread.number("onDemandPercentageAboveBaseCapacity")
    base, percent = 0.0 if base is None else base, 100.0 if percent is None else percent
    count = bill.count
    shares: dict[str, float] | None = None
    if isinstance(base, float) and isinstance(percent, float):
        share = percent / 100
        if isinstance(count, float) and count > 0:
            fixed = min(base, count)
            share = (fixed + (count - fixed) * share) / count
        shares = {"on_demand": share, "spot": 1.0 - share}
    template = mixed.under("launchTemplate")
    _any_of(bill, template.each("overrides"), _templates(bill, "mixedInstancesPolicy"), shares)


def _shares(total: Number, on_demand: Number, spot: Number, default: str) -> dict[str, float] | None:
    """Of each node; None = known after apply."""
    if UNKNOWN in (total, on_demand, spot):
        return None
    if not isinstance(total, float) or total == 0:
        return {default.replace("-", "_"): 1.0}
    other = {"on_demand": float(on_demand or 0) / total, "spot": float(spot or 0) / total}  # type: ignore[arg-type]
    rest = max(0.0, 1.0 - sum(other.values()))
    key = default.replace("-", "_")
    other[key] = other.get(key, 0.0) + rest
    return other


def _any_of(
    bill: ResourceBill,
    overrides: Sequence[Properties],
    templates: Sequence[Properties],
    shares: dict[str, float] | None,
) -> None:
    """One of several machine types, on demand or spot, with the disks of the template."""
    if shares is None:
        _unknown_machines(bill, f"the mix of on demand and spot is {AFTER_APPLY}")
        return
    types = [text for each in overrides if (text := each.text("instanceType"))]
    types = types or [text for each in templates if (text := each.text("instanceType"))]
    if any(each.number("weightedCapacity") not in (None, 1.0) for each in overrides):
        _unknown_machines(bill, "its machine types are weighted: the number of machines depends on which it gets")
        return
    if any(each.get("instanceRequirements") is not None for each in [*overrides, *templates]) and not types:
        _unknown_machines(bill, "its machines are picked by requirements")
    elif not types:
        _unknown_machines(bill, "its launch template is not in the preview")
    else:
        for capacity, share in shares.items():
            if share > 0:
                _dearest(bill, types, capacity, share)
    if templates:
        _disks_of(bill, templates[0], per="node")


def _dearest(bill: ResourceBill, types: Sequence[Any], capacity: str, share: float) -> None:
    """The dearest of several types that a group may take; unknown with one whose price is unknown."""
    names = [name for name in dict.fromkeys(types) if isinstance(name, str)]
    prices = {name: bill.program.prices.machine("aws", bill.region, name, capacity) for name in names}
    known = {name: price.usd for name, price in prices.items() if price}
    if len(known) < len(set(types)):
        missing = next((name for name in names if name not in known), "")
        bill.machine(missing or UNKNOWN, capacity, per="node", share=share)
        return
    words = (f"the dearest of its {len(names)} machine types",) if len(names) > 1 else ()
    bill.machine(max(known, key=known.__getitem__), capacity, per="node", share=share, assumed=words)


def _unknown_machines(bill: ResourceBill, why: str) -> None:
    bill.machine("", per="node", why_unknown=why)


def _templates(bill: ResourceBill, name: str) -> list[Properties]:
    found = bill.program.linked(bill.resource, name, *TEMPLATES)
    is_sure = bill.resource.dependencies or len(found) == 1
    return [Properties(one.properties) for one in found] if is_sure else []


def _disks_of(bill: ResourceBill, template: Properties, *, per: Each) -> None:
    if template.get("rootBlockDevice") is not None or template.get("ebsBlockDevices") is not None:
        machine_disks(bill, template, per=per)
    else:
        template_disks(bill, template, per=per)


def _pool_addresses(bill: ResourceBill, name: str, template: Properties | None) -> None:
    wish = template.flag("networkInterfaces.associatePublicIpAddress") if template is not None else None
    if wish is None:
        subnet_addresses(bill, name, "node")
    elif wish:
        bill.item(ADDRESS, "public_ipv4_in_use", 1, per="node")
