"""The lines of a bill: machines, disks, storage, network, control plane, API tokens, unused reservations.

A cost is a list of lines; a line without a price makes the total "at least", never smaller in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from planners.physics.step import LORA_SHARE
from planners.plan.unit_prices import TOKEN_COLUMNS, ExtraPrices, TokenPrices, UnitPrice
from planners.search.fleets import NodeGroup, StageFleet
from planners.search.own_prices import YOURS
from planners.spec.fleet import Reservation
from planners.units import GB, GIB, HOURS_PER_MONTH
from planners.workload.stage_work import ApiUse, StageWork

GPU_DISK_GIB = 500.0
SANDBOX_DISK_GIB = 200.0
"""Boot disks per node: images, checkpoints in flight.  Assumption; agent-sandbox: 150-250 GiB on dense nodes."""
CHECKPOINT_BYTES_PER_PARAM = 14.0
"""bf16 weights and the fp32 master copy with both Adam moments."""
GIVEN_FACTOR = 1.25
"""An input that is given by its mean alone may be off by a quarter."""
ASSUMED_FACTOR = 2.0
"""An input that is assumed may be off by two."""
CAPACITY_BLOCK_HOURS = 24.0
"""AWS sells capacity blocks by the day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Everything that is billed besides machines."""

    extras: ExtraPrices
    tokens: TokenPrices
    reservations: tuple[Reservation, ...] = ()
    """The user's: all of them are billed while the run lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateLine:
    """One line of the bill: quantity × price."""

    stage: str
    name: str
    quantity: float
    price: UnitPrice
    amount: str
    """Where the quantity comes from, in words."""
    scales_with_hours: bool = True
    """Whether the quantity grows with the length of the run: what a band of hours stretches."""
    spot: bool = False
    factor_80: float = 1.0
    """The quantity lies within ÷ and × this, whatever the hours, in 80% of the cases."""
    sunk: bool = False
    """Whether it is paid without this run too: the user's reservations."""

    @property
    def usd(self) -> float | None:
        """Quantity × price; None = the price is not known."""
        return None if self.price.usd is None else self.quantity * self.price.usd


def stage_lines(work: StageWork, fleet: StageFleet, hours: float, prices: Prices) -> list[EstimateLine]:
    """Every line of one stage that takes `hours` from request to end."""
    lines: list[EstimateLine] = []
    lines += _unused_reservations(work.stage, fleet, hours, prices)
    homes: dict[tuple[str, str], int] = {}  # nodes by cloud and region
    for role, nodes in (("GPU nodes", fleet.gpus), ("sandbox nodes", fleet.sandbox)):
        if nodes is not None:
            lines += _node_lines(work.stage, role, nodes, hours)
        if nodes is not None and not nodes.owned:
            gib = GPU_DISK_GIB if nodes.gpu else _sandbox_disk_gib(work, nodes)
            disks = EstimateLine(
                stage=work.stage,
                name=f"boot disks of {role}, {gib:.0f} GiB each",
                quantity=nodes.nodes * gib * hours / HOURS_PER_MONTH,
                price=prices.extras.find("disk", nodes.cloud, nodes.region),
                amount=f"{nodes.nodes} nodes × {gib:.0f} GiB × hours of the stage / 730",
            )
            lines.append(disks)
            homes[nodes.cloud, nodes.region] = homes.get((nodes.cloud, nodes.region), 0) + nodes.nodes
    places = [(home, row) for home, nodes in homes.items() for row in _place_rows(work, nodes, hours)]
    if fleet.gpus is not None and not fleet.gpus.owned:
        places += [((fleet.gpus.cloud, fleet.gpus.region), row) for row in _weight_rows(work, hours)]
    lines += [
        EstimateLine(
            stage=work.stage,
            name=f"{name}, {cloud} {region}",
            quantity=quantity,
            price=prices.extras.find(what, cloud, region),
            amount=amount,
            scales_with_hours=scales,
        )
        for (cloud, region), (what, name, quantity, amount, scales) in places
    ]
    return lines + [line for use in work.apis for line in _api_lines(work, use, prices.tokens)]


def _sandbox_disk_gib(work: StageWork, nodes: NodeGroup) -> float:
    """Boot disk of a node: the usual one, or what the sandboxes write that run on it at once, where that is more."""
    each = work.sandbox_work.disk_gib if work.sandbox_work else None
    return max(SANDBOX_DISK_GIB, nodes.slots_per_node * (each or 0.0))


def _node_lines(stage: str, role: str, group: NodeGroup, hours: float) -> Iterator[EstimateLine]:
    """The nodes, and the unused rest of a capacity block."""
    price = UnitPrice(
        usd=group.usd_per_hour,
        unit="node-hours",
        source=group.price_source,
        as_of=group.as_of,
        stated=group.quality == YOURS and group.as_of is None,
    )
    yield EstimateLine(
        stage=stage,
        name=f"{role}, {group.nodes} × {group.instance_type} {group.capacity}",
        quantity=group.nodes * hours,
        price=price,
        amount=f"{group.nodes} nodes × hours of the stage",
        spot=group.capacity_type == "spot",
        sunk=group.reserved,
    )
    if group.capacity_type == "capacity_block":
        yield EstimateLine(
            stage=stage,
            name=f"{role}, reserved but unused (capacity blocks are sold by the day)",
            quantity=group.nodes * (-hours % CAPACITY_BLOCK_HOURS),
            price=price,
            amount=f"{group.nodes} nodes × hours to the end of the last day",
            scales_with_hours=False,
        )


def _unused_reservations(stage: str, fleet: StageFleet, hours: float, prices: Prices) -> Iterator[EstimateLine]:
    """Nodes that the user has reserved and the stage leaves idle."""
    used = Counter({(g.cloud, g.region, g.instance_type): g.nodes for g in fleet.machines if g.reserved})
    for rule in prices.reservations:
        key = (rule.cloud, rule.region, rule.instance_type)
        taken = min(used[key], rule.nodes)
        used[key] -= taken
        if taken < rule.nodes:
            yield EstimateLine(
                stage=stage,
                name=f"your reservation, unused: {rule.nodes - taken} × {rule.instance_type} in {rule.region}",
                quantity=(rule.nodes - taken) * hours,
                price=UnitPrice(usd=rule.usd_per_hour, unit="node-hours", source=YOURS, as_of=None, stated=True),
                amount=f"{rule.nodes} reserved nodes - {taken} used × hours of the stage",
                sunk=True,
            )


_Row = tuple[str, str, float, str, bool]
"""A line of a region: what the price book calls it (a key of ITEMS), what people do, how much, why so much, and
whether it grows with the hours."""


def _place_rows(work: StageWork, nodes: int, hours: float) -> list[_Row]:
    """What a region costs besides the stage's machines there: control plane, system node, NAT, image pulls."""
    pulled = nodes * (work.sandbox_work.image_gib if work.sandbox_work else 10.0) * GIB / GB
    return [
        ("control plane", "Kubernetes control plane", hours, "hours of the stage", True),
        ("system node", "system node of the cluster", hours, "one node × hours of the stage", True),
        ("NAT gateway", "NAT gateway", hours, "hours of the stage", True),
        ("NAT data", "image pulls through NAT", pulled, f"{nodes} nodes × image size", False),
    ]


def _weight_rows(work: StageWork, hours: float) -> list[_Row]:
    """Checkpoints beside the GPUs, and the final weights going out once."""
    if work.training is None:
        return []
    share = LORA_SHARE if work.training.options.lora_rank else 1.0
    params, small = work.training.model.params_total, " × 2% (LoRA)" if share < 1.0 else ""
    kept, size = work.checkpoints_kept, CHECKPOINT_BYTES_PER_PARAM
    kept_gb = kept * size * params * share / GB
    states = f"{kept:g} checkpoints × {size:g} bytes × parameters{small} × hours of the stage / 730"
    return [
        ("object storage", "checkpoints", kept_gb * hours / HOURS_PER_MONTH, states, True),
        ("internet egress", "checkpoint egress", 2.0 * params * share / GB, f"2 bytes × parameters{small}", False),
    ]


def _api_lines(work: StageWork, use: ApiUse, prices: TokenPrices) -> Iterator[EstimateLine]:
    """Tokens by kind of price.  Where nobody lists a price of cache writes, what is written is plain input."""
    request = (use.input_tokens + use.cached_input_tokens) / max(use.requests * use.turns_per_request, 1.0)
    price = {kind: prices.find(use.api, kind, request_tokens=request) for kind in TOKEN_COLUMNS}
    written = 0.0 if price["cache write tokens"].usd is None else use.cache_write_tokens
    amounts = (use.input_tokens - written, use.cached_input_tokens, written, use.output_tokens)
    for kind, tokens in zip(TOKEN_COLUMNS, amounts, strict=True):
        if tokens > 0:
            yield EstimateLine(
                stage=work.stage,
                name=f"{use.role}: {use.api.name}, {kind}{' in batches' if use.api.batch else ''}",
                quantity=tokens * work.units / 1e6,
                price=price[kind],
                amount=f"the spec: {kind} per {work.unit} × {work.units:g} {work.unit}s",
                scales_with_hours=False,
                factor_80=ASSUMED_FACTOR if use.assumed else GIVEN_FACTOR,
            )


def total_usd(lines: Iterable[EstimateLine]) -> float:
    """Dollars of all lines with a price."""
    return sum(line.usd for line in lines if line.usd is not None)


def unpriced_lines(lines: Iterable[EstimateLine]) -> int:
    """Lines whose price is unknown: with one the bill is at least `total_usd`."""
    return sum(line.usd is None for line in lines)
