"""Which offers may be used at all: the spec's fleet as named rules over an offers frame."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import polars as pl

from planners.domain import OFFER_COLUMNS
from planners.search.own_prices import RESERVATION, YOURS
from planners.search.rejections import Rejections
from planners.spec.fleet import FleetSpec, Machines, is_cloud

RESTRICTED: dict[str, tuple[str, ...]] = {
    "aws": (
        "af-south-1", "ap-east-*", "ap-south-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6",
        "ap-southeast-7", "ca-west-1", "cn-*", "eu-central-2", "eu-south-*", "il-central-1", "me-*", "mx-central-1",
        "us-gov-*", "us-iso*",
    ),
    "gcp": ("me-central2",),
    "azure": (
        "australiacentral2", "brazilsoutheast", "china*", "francesouth", "germanynorth", "jioindia*", "norwaywest",
        "southafricawest", "switzerlandwest", "uaecentral", "usdod*", "usgov*", "us-gov*", "us-dod*", "westindia",
    ),
}  # fmt: skip
"""Regions (shell patterns) that an ordinary account cannot simply use: by approval, opt-in, or for governments.  From
the clouds' documentation as remembered, not re-read ("AWS Regions that must be enabled", "Azure restricted access
regions"); a spec that names a region under `fleet.regions` uses it whatever this list says."""
OWNED_CAPACITY = "on_demand"
OWN_REGION = "own"
"""Region of machines that exist already."""
ANY_REGION = "any"
"""Region of a price that holds wherever a cloud has the machine."""
UNKNOWN_PRICE = "unknown price"
UNKNOWN_SANDBOX_PRICE = "sandbox price"
PRICED = pl.col("usd_per_hour").is_not_null() | (pl.col("quality") == YOURS)
"""Own machines may be used at an unknown price."""


def matches(column: str, patterns: Iterable[str]) -> pl.Expr:
    """True where the column matches one of the shell patterns (`us-*`), ignoring case."""
    joined = "|".join(f"(?:{_regex(pattern)})" for pattern in patterns)
    return pl.col(column).str.contains(f"(?i)^(?:{joined})$")


def _regex(pattern: str) -> str:
    """fnmatch's translation of * and ? without the look-aheads that polars' regex engine lacks."""
    plain = (letter if letter.isalnum() or letter in "_-" else f"\\{letter}" for letter in pattern)
    return "".join({"\\*": ".*", "\\?": "."}.get(letter, letter) for letter in plain)


def _pools(machines: Sequence[Machines], targets: Sequence[str]) -> Iterator[tuple[str, str, Machines]]:
    """(target, name, machines) of what exists already; a pool without a target exists on every such target."""
    owned = [target for target in targets if not is_cloud(target)]
    for number, machine in enumerate(machines, 1):
        name = machine.name or f"{machine.gpu or 'cpu'}-nodes-{number}"
        for target in [machine.target] if machine.target else owned:
            yield target, name, machine


def owned_nodes(
    machines: Sequence[Machines], targets: Sequence[str], *, with_gpus: bool
) -> dict[tuple[str, str], float]:
    """Nodes that exist, by (target, pool name): the `cloud` and `instance_type` of `owned_offers`."""
    return {
        (target, name): float(machine.nodes)
        for target, name, machine in _pools(machines, targets)
        if (machine.gpu is not None) == with_gpus
    }


def owned_offers(machines: Sequence[Machines], targets: Sequence[str], *, with_gpus: bool) -> pl.DataFrame:
    """Machines that exist already, as offers: cloud = the target, region = "own"; one row per pool and target."""
    rows = [
        {
            "cloud": target,
            "region": OWN_REGION,
            "instance_type": name,
            "capacity_type": OWNED_CAPACITY,
            "usd_per_hour": machine.usd_per_node_hour,
            "source": YOURS,
            "quality": YOURS,
            "vcpus": machine.vcpus,
            "memory_gib": machine.memory_gib,
            "gpu": machine.gpu,
            "num_gpus": machine.gpus_per_node if machine.gpu else 0,
            "network_gbps": machine.network_gbps,
            "arch": "x86_64",
        }
        for target, name, machine in _pools(machines, targets)
        if (machine.gpu is not None) == with_gpus
    ]
    numbers = ("usd_per_hour", "vcpus", "memory_gib", "num_gpus", "hbm_gib", "network_gbps", "local_nvme_gib")
    schema = dict.fromkeys(OFFER_COLUMNS, pl.String) | {"as_of": pl.Date} | dict.fromkeys(numbers, pl.Float64)
    return pl.DataFrame(rows, schema=schema)


def gpu_offers(offers: pl.DataFrame, fleet: FleetSpec, gpus: Collection[str], rejections: Rejections) -> pl.DataFrame:
    """GPU offers that the spec allows, each with a price; of a spot offer the cheapest zone."""
    rules: list[tuple[str, str, pl.Expr]] = [
        ("cloud", f"not among targets {', '.join(fleet.targets)}", pl.col("cloud").is_in(list(fleet.targets))),
        ("GPU", f"not among gpus {', '.join(fleet.gpus) or 'known to us'}", pl.col("gpu").is_in(list(gpus))),
        ("shared GPU", "a part of a GPU", pl.col("num_gpus") >= 1),
    ]
    capacities = [str(capacity) for capacity in fleet.capacity]
    rules += [*place_rules(fleet), ("capacity type", f"not among {', '.join(capacities)}", may_be_bought(capacities))]
    if fleet.instance_types:
        rules.append(("instance type", "not among instance_types", matches("instance_type", fleet.instance_types)))
    rules.append((UNKNOWN_PRICE, "the price book has no price; give one under prices.rates", PRICED))
    for rule, reason, keep in rules:
        offers = rejections.offers(offers, rule, reason, keep)
    return cheapest_zone(offers)


def place_rules(fleet: FleetSpec) -> list[tuple[str, str, pl.Expr]]:
    """Rules on region and exclusions, for GPU and sandbox machines alike.  Owned machines pass the region rule."""
    rules: list[tuple[str, str, pl.Expr]] = []
    if not fleet.regions:
        closed = pl.any_horizontal(
            (pl.col("cloud") == cloud) & matches("region", patterns) for cloud, patterns in RESTRICTED.items()
        )
        rules.append(("restricted region", "needs opt-in or approval; name it under regions to use it", ~closed))
    if fleet.regions:
        here = matches("region", fleet.regions) | pl.col("region").is_in([OWN_REGION, ANY_REGION])
        rules.append(("region", f"not among regions {', '.join(fleet.regions)}", here))
    if fleet.exclude:
        named = [matches(column, fleet.exclude) for column in ("cloud", "region", "instance_type")]
        excluded = pl.any_horizontal(named)
        rules.append(("excluded", "named under exclude", ~excluded))
    return rules


def may_be_bought(capacities: Sequence[str]) -> pl.Expr:
    """True for the allowed capacity types, and for what the user has reserved already."""
    return pl.col("capacity_type").is_in(capacities) | RESERVATION


def cheapest_zone(offers: pl.DataFrame) -> pl.DataFrame:
    """One row per cloud, region, instance type and capacity type: the cheapest zone, unknown prices last."""
    key = ["cloud", "region", "instance_type", "capacity_type"]
    ordered = offers.sort("usd_per_hour", nulls_last=True, maintain_order=True)
    return ordered.unique(key, keep="first", maintain_order=True)
