"""What a subscription of Azure may have of what a plan asks for."""

from __future__ import annotations

from collections.abc import Iterator

from clusterctl.clouds.asked import most_at_once
from clusterctl.clouds.azure_session import AzureSession
from clusterctl.clouds.base import Quota
from clusterctl.clouds.prices import vcpus_of
from planners.plan.value import Plan, Pool

ALL, SPOT = "cores", "lowPriorityCores"
SYSTEM_TYPE, SYSTEM_VCPUS = "Standard_D2s_v5", 2.0
"""The small node for what no pool of the plan runs (infra/azure/aks.py)."""


def quotas(session: AzureSession, plan: Plan) -> Iterator[Quota]:
    """What the plan's pools count against, with what is used already: by family, all together, and spot."""
    for region in sorted({pool.region for pool in plan.pools if pool.cloud == "azure"}):
        families = {row.name: row.family for row in session.skus(region) if row.resource_type == "virtualMachines"}

        def key(pool: Pool, region: str = region, families: dict[str, str] = families) -> str | None:
            if pool.region != region or pool.capacity_type == "spot":
                return None
            return families.get(pool.instance_type)

        def here(pool: Pool, region: str = region) -> str | None:
            return None if pool.region != region else SPOT if pool.capacity_type == "spot" else ALL

        asked = {**most_at_once(plan, "azure", key, _vcpus), **most_at_once(plan, "azure", here, _vcpus)}
        for name in (families.get(SYSTEM_TYPE), ALL):
            if name:
                asked[name] = asked.get(name, 0.0) + SYSTEM_VCPUS
        known = {row.name.value: row for row in session.usages(region)}
        lower = {name.lower(): row for name, row in known.items()}
        for name, vcpus in sorted(asked.items()):
            row = lower.get(name.lower())
            limit, used = (None, None) if row is None else (float(row.limit), float(row.current_value))
            yield _quota(session, name, region, limit=limit, used=used, asked=vcpus)


def _vcpus(pool: Pool) -> float:
    return pool.nodes * (vcpus_of("azure", pool.instance_type) or 0.0)


def _quota(
    session: AzureSession, name: str, region: str, *, limit: float | None, used: float | None, asked: float
) -> Quota:
    scope = f"{session.root}/providers/Microsoft.Compute/locations/{region}"
    kind = "lowPriority" if name == SPOT else "dedicated"
    request = (
        f"az quota update --resource-name {name} --scope {scope} --resource-type {kind}"
        f" --limit-object value={(used or 0) + asked:g} limit-object-type=LimitValue"
    )
    return Quota(
        cloud="azure",
        name=name,
        region=region,
        limit=limit,
        used=used,
        asked=asked,
        unit="vCPU",
        code=name,
        request=request,
    )
