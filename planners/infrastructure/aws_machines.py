"""Machines of AWS one by one: instances, spot requests, reservations of capacity."""

from __future__ import annotations

from typing import Any

from planners.infrastructure.aws_disks import machine_disks, template_disks
from planners.infrastructure.bill import Each, ResourceBill
from planners.infrastructure.properties import Properties
from planners.infrastructure.value import UNKNOWN, Resource, Unknown

TEMPLATES = ("ec2:launchtemplate", "ec2:launchconfiguration")
ADDRESS = "public IPv4 address"


def instance(bill: ResourceBill) -> None:
    """An EC2 instance; what it leaves out its launch template says."""
    template = launch_template(bill, "launchTemplate")
    own = bill.properties
    machine = own.get("instanceType") or (template.get("instanceType") if template else None)
    if machine is None and own.get("launchTemplate") is not None and template is None:
        machine = UNKNOWN
        bill.note("its launch template is not in the preview")
    market = own if own.get("instanceMarketOptions") is not None or template is None else template
    compute(bill, machine, capacity_type(market), own)
    _instance_disks(bill, own, template)
    _instance_address(bill, own, template)
    if own.flag("monitoring"):
        bill.unpriced("detailed monitoring", "metric-month", 7.0)


def spot_request(bill: ResourceBill) -> None:
    """A spot request of one instance."""
    own = bill.properties
    compute(bill, own.get("instanceType"), "spot", own)
    machine_disks(bill, own)
    _instance_address(bill, own, None)


def capacity_reservation(bill: ResourceBill) -> None:
    """Billed as on demand, used or not."""
    own = bill.properties
    bill.nodes(own.number("instanceCount"))
    compute(bill, own.get("instanceType"), "on_demand", own, per="node")
    bill.note("machines that run in the reservation are billed once: here or there")


def capacity_block(bill: ResourceBill) -> None:
    """Paid in advance for its days; the preview knows them only once it is bought."""
    own = bill.properties
    count = own.number("instanceCount")
    hours = own.number("durationHours", "capacityDurationHours")
    machine = own.get("instanceType")
    name = machine if isinstance(machine, str) else "machines"
    price = bill.program.prices.machine("aws", bill.region, name, "capacity_block") if bill.region else None
    if price and isinstance(count, float) and isinstance(hours, float):
        usd = price.usd * count * hours
        bill.note(f"paid in advance: {usd:,.0f} dollars for {hours:g} hours")
    bill.unpriced(f"{name}, capacity block", "hour", why="paid in advance for its days, not by the month")


def compute(bill: ResourceBill, machine: Any, capacity: str, properties: Properties, *, per: Each = "once") -> None:
    """The hours of one machine, without its disks and addresses."""
    tenancy = properties.text("tenancy", "placement.tenancy", "placementTenancy")
    why = f"no price of {tenancy} tenancy" if tenancy not in ("", "default") else ""
    bill.machine(machine if isinstance(machine, str | Unknown) else "", capacity, per=per, why_unknown=why)


def capacity_type(properties: Properties) -> str:
    """`on_demand`, `spot` or `capacity_block`, by what an instance or its launch template asks for."""
    market = properties.text("instanceMarketOptions.marketType")
    if properties.get("spotPrice") is not None:
        return "spot"
    return {"spot": "spot", "capacity-block": "capacity_block"}.get(market, "on_demand")


def launch_template(bill: ResourceBill, name: str) -> Properties | None:
    """The template that property `name` points to; None = not in the preview, or one of several."""
    found = bill.program.linked(bill.resource, name, *TEMPLATES)
    return Properties(found[0].properties) if len(found) == 1 else None


def _instance_disks(bill: ResourceBill, own: Properties, template: Properties | None) -> None:
    if template is not None and own.get("rootBlockDevice") is None:
        template_disks(bill, template)
    else:
        machine_disks(bill, own)


def _instance_address(bill: ResourceBill, own: Properties, template: Properties | None) -> None:
    """A public address of its own, unless an elastic one takes its place."""
    users = bill.program.users(bill.resource)
    if any(user.type.endswith((":Eip", ":EipAssociation")) for user in users):
        return
    wish = own.flag("associatePublicIpAddress")
    if wish is None and template is not None:
        wish = template.flag("networkInterfaces.associatePublicIpAddress")
    if wish is None and own.get("networkInterfaces") is not None:
        return
    if wish is not None:
        if wish:
            bill.item(ADDRESS, "public_ipv4_in_use", 1)
        return
    if own.get("subnetId") is None:
        bill.item(ADDRESS, "public_ipv4_in_use", 1, assumed=("subnets of the default VPC give one",))
        return
    subnet_addresses(bill, "subnetId", "once")


def subnet_addresses(bill: ResourceBill, name: str, per: Each) -> None:
    """Whether machines get a public address is a matter of their subnets."""
    subnets = bill.program.linked(bill.resource, name, "ec2:subnet", "ec2:defaultsubnet")
    maps = {_maps(subnet) for subnet in subnets}
    if maps == {True}:
        words = ("its subnets give public addresses",)
        bill.item(ADDRESS, "public_ipv4_in_use", 1, per=per, assumed=words)
    elif maps != {False}:
        why = "its subnets are not in the preview" if not subnets else "some of its subnets give public addresses"
        bill.unpriced(ADDRESS, "hour", why=f"whether it has one is unknown: {why}", per=per)


def _maps(subnet: Resource) -> bool:
    return subnet.type.endswith("DefaultSubnet") or bool(Properties(subnet.properties).flag("mapPublicIpOnLaunch"))
