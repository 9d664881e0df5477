"""The lines of a bill: machines, disks, storage, network, control plane, API tokens, unused reservations.

A cost is a list of lines; a line without a price makes the total "at least", never smaller in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from planners.physics.step import LORA_SHARE
from planners.search.own_prices import YOURS
from planners.units import GB, GIB, HOURS_PER_MONTH

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from planners.plan.unit_prices import ExtraPrices, TokenPrices
    from planners.search.fleets import Machines, StageFleet
    from planners.workload.stage_work import ApiUse, StageWork

GPU_DISK_GIB = 500.0
SANDBOX_DISK_GIB = 200.0
"""Boot disks per node: images, checkpoints in flight.  Assumption; agent-sandbox: 150-250 GiB on dense nodes."""
CHECKPOINT_BYTES_PER_PARAM = 14.0
"""bf16 weights and the fp32 master copy with both Adam moments."""
CAPACITY_BLOCK_HOURS = 24.0
"""AWS sells capacity blocks by the day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Everything that is billed besides machines."""

    extras: ExtraPrices
    tokens: TokenPrices


def stage_lines(work: StageWork, fleet: StageFleet, hours: float, prices: Prices) -> list[CostLine]:
    """Every line of one stage that takes `hours` from request to end."""
    lines = []
    for role, machines in (("GPU nodes", fleet.gpus), ("sandbox nodes", fleet.sandbox)):
        if machines is not None:
            lines += _machine_lines(work.stage, role, machines, hours, prices.extras)
    homes: dict[tuple[str, str], list[Machines]] = {}
    for machines in (fleet.gpus, fleet.sandbox):
        if machines is not None and not machines.owned:
            homes.setdefault((machines.cloud, machines.region), []).append(machines)
    for here in homes.values():
        lines += _place_lines(work, here, hours, prices.extras)
    if fleet.gpus is not None and not fleet.gpus.owned:
        lines += _weight_lines(work, fleet.gpus, hours, prices.extras)
    lines += [line for use in work.apis for line in _api_lines(work, use, prices.tokens)]
    return lines


def _machine_lines(stage: str, role: str, machines: Machines, hours: float, extras: ExtraPrices) -> list[CostLine]:
    """The nodes, the unused rest of a capacity block, the disks."""
    what = f"{role}, {machines.nodes} × {machines.instance_type} {machines.capacity}"
    lines = [
        CostLine(
            name=what,
            stage=stage,
            unit="node-hours",
            quantity=machines.nodes * hours,
            usd_per_unit=machines.usd_per_hour,
            source=machines.price_source,
            as_of=machines.as_of,
            stated=machines.quality == YOURS and machines.as_of is None,
            spot=machines.capacity_type == "spot",
            amount=f"{machines.nodes} nodes × hours of the stage",
        )
    ]
    if machines.capacity_type == "capacity_block":
        unused = -hours % CAPACITY_BLOCK_HOURS
        lines.append(
            CostLine(
                name=f"{role}, reserved but unused (capacity blocks are sold by the day)",
                stage=stage,
                unit="node-hours",
                quantity=machines.nodes * unused,
                usd_per_unit=machines.usd_per_hour,
                source=machines.source,
                as_of=machines.as_of,
                stated=machines.quality == YOURS and machines.as_of is None,
                scales_with_hours=False,
                amount=f"{machines.nodes} nodes × hours to the end of the last day",
            )
        )
    if not machines.owned:
        price = extras.find("disk", machines.cloud, machines.region)
        gib = GPU_DISK_GIB if machines.gpu else SANDBOX_DISK_GIB
        lines.append(
            CostLine(
                name=f"boot disks of {role}, {gib:.0f} GiB each",
                stage=stage,
                unit=price.unit or "GiB-month",
                quantity=machines.nodes * gib * hours / HOURS_PER_MONTH,
                usd_per_unit=price.usd,
                source=price.source,
                as_of=price.as_of,
                amount=f"{machines.nodes} nodes × {gib:.0f} GiB × hours of the stage / 730",
            )
        )
    return lines


def _place_lines(work: StageWork, here: list[Machines], hours: float, extras: ExtraPrices) -> list[CostLine]:
    """What a region costs besides the stage's machines there: control plane, NAT, image pulls."""
    nodes = sum(machines.nodes for machines in here)
    pulled = nodes * (work.sandbox_work.image_gib if work.sandbox_work else 10.0) * GIB / GB
    wanted = [
        _Extra("control plane", "Kubernetes control plane", hours, "hours of the stage", True),
        _Extra("NAT gateway", "NAT gateway", hours, "hours of the stage", True),
        _Extra("NAT data", "image pulls through NAT", pulled, f"{nodes} nodes × image size", False),
    ]
    return [_extra_line(work.stage, here[0], extras, row) for row in wanted]


def _weight_lines(work: StageWork, home: Machines, hours: float, extras: ExtraPrices) -> list[CostLine]:
    """Checkpoints beside the GPUs, and the final weights going out once."""
    if work.training is None:
        return []
    params = work.training.model.params_total
    share = LORA_SHARE if work.training.options.lora_rank else 1.0
    kept = work.pauses.checkpoints_kept * CHECKPOINT_BYTES_PER_PARAM * params * share / GB
    small = " × 2 % (LoRA)" if share < 1.0 else ""
    number = f"{work.pauses.checkpoints_kept:g} checkpoints"
    states = f"{number} × {CHECKPOINT_BYTES_PER_PARAM:g} bytes × parameters{small} × hours of the stage / 730"
    wanted = [
        _Extra("object storage", "checkpoints", kept * hours / HOURS_PER_MONTH, states, True),
        _Extra(
            "internet egress", "checkpoint egress", 2.0 * params * share / GB, f"2 bytes × parameters{small}", False
        ),
    ]
    return [_extra_line(work.stage, home, extras, row) for row in wanted]


class _Extra(NamedTuple):
    """A line of a region: what the price book calls it (a key of ITEMS), what people do, how much and why so much."""

    what: str
    name: str
    quantity: float
    amount: str
    scales: bool


def _extra_line(stage: str, home: Machines, extras: ExtraPrices, row: _Extra) -> CostLine:
    price = extras.find(row.what, home.cloud, home.region)
    return CostLine(
        name=f"{row.name}, {home.cloud} {home.region}",
        stage=stage,
        unit=price.unit or "unit",
        quantity=row.quantity,
        usd_per_unit=price.usd,
        source=price.source,
        amount=row.amount,
        as_of=price.as_of,
        scales_with_hours=row.scales,
    )


def _api_lines(work: StageWork, use: ApiUse, prices: TokenPrices) -> list[CostLine]:
    """Tokens by kind of price."""
    amounts = {
        "input tokens": use.input_tokens,
        "cached input tokens": use.cached_input_tokens,
        "output tokens": use.output_tokens,
    }
    lines = []
    for kind, tokens in amounts.items():
        if tokens > 0:
            price = prices.find(use.api, kind)
            lines.append(
                CostLine(
                    name=f"{use.role}: {use.api.name}, {kind}",
                    stage=work.stage,
                    unit=price.unit,
                    quantity=tokens * work.units / 1e6,
                    usd_per_unit=price.usd,
                    source=price.source,
                    as_of=price.as_of,
                    stated=price.stated,
                    scales_with_hours=False,
                    amount=f"the spec: {kind} per {work.unit} × {work.units:g} {work.unit}s",
                )
            )
    return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """One line of the bill: quantity × price.  None = the price is not known."""

    name: str
    stage: str
    unit: str
    """node-hours, GiB-months, cluster-hours, million tokens …"""
    quantity: float
    usd_per_unit: float | None
    source: str
    as_of: date | None = None
    amount: str = ""
    """Where the quantity comes from, in words."""
    scales_with_hours: bool = True
    """Whether the quantity grows with the length of the run: what a band of hours stretches."""
    stated: bool = False
    """Whether the user states the price: it has no age."""
    spot: bool = False

    @property
    def usd(self) -> float | None:
        """Quantity × price, or None."""
        return None if self.usd_per_unit is None else self.quantity * self.usd_per_unit


def total_usd(lines: Iterable[CostLine]) -> float:
    """Dollars of all lines with a price."""
    return sum(line.usd for line in lines if line.usd is not None)


def unpriced_lines(lines: Iterable[CostLine]) -> int:
    """Lines whose price is unknown: with one the bill is at least `total_usd`."""
    return sum(line.usd is None for line in lines)
