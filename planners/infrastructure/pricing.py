"""From a preview to what each of its resources costs, before and after."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from planners.infrastructure import aws, azure, gcp, kubernetes
from planners.infrastructure.bill import ResourceBill
from planners.infrastructure.kinds import kind_of, names, package_of
from planners.infrastructure.preview import Preview
from planners.infrastructure.price_protocol import ResourcePrices
from planners.infrastructure.program import Program
from planners.infrastructure.tables import Pricer, free
from planners.infrastructure.value import Resource, ResourceChange, ResourceCost

WITHOUT_BILL: Final = names(
    "pulumi random tls time null command std archive external local docker docker-build azuread synced-folder "
    "pulumiservice cloudinit assert"
)
"""Packages whose resources live on the machine of the engine, or in a directory that costs nothing."""
TABLES: Final = {"aws": aws, "gcp": gcp, "azure": azure}
CHILDREN_UNKNOWN = "children unknown: it is made of resources that are not in the preview"


def price_preview(preview: Preview, prices: ResourcePrices) -> tuple[ResourceChange, ...]:
    """Each resource of a preview with what it costs before and after, in the preview's order; stacks and providers
    are left out."""
    steps = [step for step in preview.steps if not _is_engine_own((step.after or step.before).type)]  # type: ignore[union-attr]
    before = Program((step.before for step in preview.steps if step.before), prices, preview)
    after = Program((step.after for step in preview.steps if step.after), prices, preview)
    return tuple(
        ResourceChange(
            op=step.op,
            before=price_resource(step.before, before) if step.before else None,
            after=price_resource(step.after, after) if step.after else None,
            changed=step.changed,
        )
        for step in steps
    )


def price_resource(resource: Resource, program: Program) -> ResourceCost:
    """What one resource costs at one end."""
    bill = ResourceBill(resource, program)
    if resource.is_external:
        bill.note("read by the program, managed and paid for elsewhere")
        return bill.cost()
    pricer = pricer_of(resource)
    if pricer is not None:
        pricer(bill)
    elif resource.is_component:
        if not program.has_children(resource):
            bill.unknown(CHILDREN_UNKNOWN)
    else:
        bill.unknown(_why(resource))
    return _of(bill.cost(), resource)


def pricer_of(resource: Resource) -> Pricer | None:
    """None = its type isn't known here, or it is a component."""
    if resource.is_component:
        return None
    kind = kind_of(resource.type)
    if resource.cloud == "kubernetes":
        return kubernetes.pricer_of(kind)
    table = TABLES.get(resource.cloud)
    if table is None:
        return free if package_of(resource.type) in WITHOUT_BILL else None
    if resource.cloud == "gcp" and gcp.is_right(kind):
        return free
    is_free = kind in table.FREE or kind.partition(":")[0] in table.FREE_MODULES
    return table.PRICERS.get(kind) or (free if is_free else None)


def _why(resource: Resource) -> str:
    if resource.cloud:
        return f"not priced: the type {resource.type} is not known here"
    return f"not priced: resources of the provider {package_of(resource.type)} are not known here"


def _is_engine_own(type_token: str) -> bool:
    return type_token.startswith(("pulumi:pulumi:Stack", "pulumi:providers:", "pulumi:pulumi:StackReference"))


def _of(cost: ResourceCost, resource: Resource) -> ResourceCost:
    """Of an object of Kubernetes that was priced in its cluster's cloud: the object as the program has it."""
    return cost if cost.resource is resource else replace(cost, resource=resource)
