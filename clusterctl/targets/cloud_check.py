"""Before anything is made in a cloud: is there one place, who pays, may the account have it, and who can reach it?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from clusterctl.clouds.base import Cloud, CloudUnreachable, NotAllowed, Quota
from clusterctl.errors import ClusterctlError, Infeasible, SpecError
from clusterctl.fleet.pulumi_engine import find_engine
from clusterctl.targets.cloud_cluster import CIDRS_VARIABLE
from clusterctl.targets.kubernetes_tasks import preview_lines
from clusterctl.ui.formats import count
from planners.plan.value import Plan

OPEN = ("0.0.0.0/0", "::/0")


def check_account(cloud: Cloud, plan: Plan, held: Plan | None = None) -> str:
    """The plan's region.  held: by which a live run has its machines; its share of a quota is used already.

    Raises ClusterctlError with what is missing and the way on.
    """
    regions = sorted({pool.region for pool in plan.pools})
    if len(regions) != 1:
        raise SpecError(
            f"a run has one cluster in one region, and `{plan.name}` is planned in {', '.join(regions)}",
            hint="state one under fleet.regions",
        )
    cidrs = os.environ.get(CIDRS_VARIABLE, "")
    if not cidrs.strip():
        raise SpecError(
            f"nobody may reach the cluster that is to be made: {CIDRS_VARIABLE} names nobody",
            hint=f"{CIDRS_VARIABLE}=203.0.113.7/32, your address, lets you in and nobody else",
        )
    if opened := [cidr for cidr in OPEN if cidr in cidrs]:
        raise SpecError(f"{CIDRS_VARIABLE}: {opened[0]} is everybody", hint="name addresses that are yours")
    cloud.identity()
    if regions[0] not in (known := _regions(cloud)) and known:
        hint = f"enable it for the account, or state another under fleet.regions: {', '.join(known[:12])}"
        raise SpecError(f"{cloud.name}: this account can't use the region {regions[0]}", hint=hint)
    has = {_key(quota): quota.asked for quota in quotas_of(cloud, held)} if held else {}
    more = [replace(quota, asked=max(quota.asked - has.get(_key(quota), 0.0), 0.0)) for quota in quotas_of(cloud, plan)]
    short = [quota for quota in more if quota.asked and quota.is_short]
    if short:
        what = "; ".join(quota.text for quota in short)
        asks = "\n".join(f"  {quota.request}" for quota in short if quota.request)
        raise Infeasible(f"{cloud.name}: the account may not have what is planned: {what}", hint=f"ask for it:\n{asks}")
    return regions[0]


def _key(quota: Quota) -> tuple[str, str, str]:
    return quota.name, quota.code, quota.region


def require_programs(store: Path) -> None:
    """Pulumi's engine and kubectl: without one of them a cluster would be made in vain.  Raises ClusterctlError."""
    find_engine(store)
    if shutil.which("kubectl") is None:
        hint = "https://kubernetes.io/docs/tasks/tools; it must be on the PATH"
        raise ClusterctlError("a run in a cloud needs kubectl, which is not installed", hint=hint)


def account_lines(cloud: Cloud, plan: Plan, seconds: float | None) -> Sequence[str]:
    """Who pays, which quotas are not known, and what each pool may become.  seconds: until a limit must be reached."""
    unknown = [quota for quota in quotas_of(cloud, plan) if quota.limit is None]
    lines = [f"paid by {cloud.name} {cloud.identity()}"]
    lines += [f"not known: the quota `{quota.name}` in {quota.region}" for quota in unknown]
    return [*lines, *preview_lines(plan, seconds), _without_capacity(plan)]


def _without_capacity(plan: Plan) -> str:
    """Which offers the run's supervisor tries by itself, and which are another cluster's."""
    here = {(pool.cloud, pool.region) for pool in plan.pools}
    offers = [(offer, {(p.cloud, p.region) for p in offer.pools}) for offer in (*plan.alternatives, *plan.elsewhere)]
    mine = sum(places == here for offer, places in offers if offer.number != plan.frontier_chosen)
    region = plan.pools[0].region
    text = (
        f"without capacity: {count(mine, 'other offer')} in {region} would be tried"
        if mine
        else (f"without capacity: the plan has no other offer in {region}; it is asked for again and again")
    )
    named = {offer.number for offer in plan.alternatives}
    other = next((offer for offer, places in offers if places != here and offer.number in named), None)
    if other is None:
        return text
    pick = f"`clusterctl plan SPEC --pick {other.number} --out plan.json`"
    return f"{text}; {other.fleet} in {other.region} is another cluster: {pick}, then `down` and `up plan.json`"


def quotas_of(cloud: Cloud, plan: Plan) -> Sequence[Quota]:
    """Those that may be asked for: who may make a cluster need not have the right to read quotas."""
    try:
        return cloud.quotas(plan)
    except (NotAllowed, CloudUnreachable):
        return ()


def _regions(cloud: Cloud) -> Sequence[str]:
    try:
        return cloud.regions()
    except ClusterctlError as error:
        if isinstance(error, NotAllowed | CloudUnreachable):
            return ()
        raise
