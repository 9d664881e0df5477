"""Laws that hold whatever a program asks for: sums of parts, changes as differences, unknown never 0."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from priced_programs import CONFIG, UNKNOWN_TEXT, RoundPrices, urn

from planners.infrastructure import aws, azure, gcp, kubernetes
from planners.infrastructure.pricing import price_preview
from planners.infrastructure.read_steps import preview_of

PRICES = RoundPrices(
    {("t3.medium", "on_demand"): 0.04, ("e2-medium", "on_demand"): 0.03, ("Standard_B2s", "on_demand"): 0.05},
    {
        "block_gp3_storage": (0.08, "GB-month"),
        "block_pd_balanced": (0.1, "GB-month"),
        "block_premium_ssd_p4_32gib": (5.28, "disk-month"),
        "nat_gateway_hour": (0.045, "hour"),
    },
)
PREFIXES = {"aws": aws.PRICERS, "gcp": gcp.PRICERS, "azure-native": azure.PRICERS, "kubernetes": kubernetes.PRICERS}
KINDS = [
    f"{prefix}:{kind.replace(':', f'/{name}:' if prefix in ('aws', 'gcp') else ':')}"
    for prefix, table in PREFIXES.items()
    for kind in table
    for name in [kind.rpartition(":")[2]]
]
NAMES = [
    "instanceType",
    "machineType",
    "vmSize",
    "size",
    "sku",
    "count",
    "nodeCount",
    "initialNodeCount",
    "desiredCapacity",
    "maxSize",
    "minSize",
    "scalingConfig",
    "desiredSize",
    "nodeConfig",
    "rootBlockDevice",
    "volumeSize",
    "volumeType",
    "agentPoolProfiles",
    "defaultNodePool",
    "storageProfile",
    "osDisk",
    "diskSizeGB",
    "hardwareProfile",
    "launchTemplate",
    "mixedInstancesPolicy",
    "overrides",
    "capacity",
    "spec",
    "type",
    "storage",
    "resources",
    "requests",
    "replicas",
    "autoscaling",
    "maxNodeCount",
    "enableAutopilot",
    "removeDefaultNodePool",
    "iops",
    "targetCapacitySpecification",
    "totalTargetCapacity",
    "instanceTypes",
    "capacityType",
    "subnetIds",
    "disks",
    "bootDisk",
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2**70),
    st.floats(allow_nan=True),
    st.sampled_from(
        ["t3.medium", "e2-medium", "Standard_B2s", "gp3", "LoadBalancer", "100Gi", UNKNOWN_TEXT, "[secret]", "", "x"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)),
    max_leaves=12,
)
INPUTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8)


def state(kind: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"urn": urn(kind, "it"), "type": kind, "custom": True, "inputs": inputs}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from(KINDS), old=st.none() | INPUTS, new=st.none() | INPUTS)
def test_any_inputs_give_sums_that_add_up(kind: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
    step = {
        "op": "update" if old is not None and new is not None else "create" if old is None else "delete",
        "urn": urn(kind, "it"),
        "old": None if old is None else state(kind, old),
        "new": None if new is None else state(kind, new),
    }
    for change in price_preview(preview_of([step], config=CONFIG), PRICES):
        ends = [change.before, change.after]
        for cost in (end for end in ends if end):
            assert cost.usd_per_month == pytest.approx(sum(part.usd_per_month or 0.0 for part in cost.parts))
            for part in cost.parts:
                if part.usd_per_month is None and not part.usage_based:
                    assert part.why_unknown, f"{part.name} is unknown and doesn't say why"
                    assert not cost.is_known
            assert cost.is_known or cost.why_unknown or any(part.why_unknown for part in cost.parts)
            assert not (cost.is_free and cost.parts)
            assert cost.usd_per_month >= 0
            if cost.ceiling_usd_per_month is not None and cost.is_known:
                assert cost.ceiling_usd_per_month >= cost.usd_per_month - 1e-6
        before, after = (end.usd_per_month if end else 0.0 for end in ends)
        assert change.usd_per_month_change == pytest.approx(after - before)


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_falls_over_without_inputs_or_with_everything_unknown(kind: str) -> None:
    for inputs in ({}, dict.fromkeys(NAMES, UNKNOWN_TEXT)):
        steps = [{"op": "create", "urn": urn(kind, "it"), "old": None, "new": state(kind, inputs)}]
        (change,) = price_preview(preview_of(steps, config=CONFIG), PRICES)
        assert change.after is not None
        cost = change.after
        assert cost.is_free or cost.parts or cost.why_unknown or cost.notes
