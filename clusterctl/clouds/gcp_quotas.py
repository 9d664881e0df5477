"""What a project of Google Cloud may have of what a plan asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clusterctl.clouds.asked import most_at_once
from clusterctl.clouds.base import CloudError, Quota
from clusterctl.clouds.gcp_session import GoogleSession
from clusterctl.clouds.prices import vcpus_of
from planners.plan.value import Plan, Pool

GPUS = {"a2-highgpu": "NVIDIA_A100_GPUS", "a2-ultragpu": "NVIDIA_A100_80GB_GPUS", "g2-standard": "NVIDIA_L4_GPUS"}
"""By machine family: GPUs that each region counts by a metric of their own."""
GPU_FAMILIES = {
    "a3-highgpu": "NVIDIA_H100",
    "a3-megagpu": "NVIDIA_H100_MEGA",
    "a3-ultragpu": "NVIDIA_H200",
    "a4-highgpu": "NVIDIA_B200",
}
"""Newer ones, which Google counts by family: https://cloud.google.com/compute/resource-usage#gpu_quota"""
FAMILY_QUOTA = "GPUS-PER-GPU-FAMILY-per-project-region"
CPUS_OF_THEIR_OWN = {"a2", "c2", "c2d", "c3", "e2", "m1", "m2", "m3", "n2", "n2d", "t2a", "t2d"}
Key = tuple[str, str]
"""Region and metric."""


def quotas(session: GoogleSession, plan: Plan) -> Iterator[Quota]:
    """What the plan's pools count against, with what is used already."""
    gpus = most_at_once(plan, "gcp", _gpu_key, lambda pool: float(pool.gpus))
    cpus = most_at_once(plan, "gcp", _cpu_key, lambda pool: pool.nodes * (vcpus_of("gcp", pool.instance_type) or 0.0))
    for region in sorted({pool.region for pool in plan.pools if pool.cloud == "gcp"}):
        client = session.compute("Regions")
        known = {row.metric: row for row in session.call(client.get, project=session.project, region=region).quotas}
        for (where, metric), asked in sorted({**gpus, **cpus}.items()):
            if where == region:
                row = known.get(metric)
                limit, used = (None, None) if row is None else (row.limit, row.usage)
                if row is None and metric in GPU_FAMILIES.values():
                    limit = _family_limit(session, metric, region)
                yield _quota(session, metric, region, limit=limit, used=used, asked=asked)
    yield from _everywhere(session, sum(gpus.values()))


def _gpu_key(pool: Pool) -> Key | None:
    family = pool.instance_type.rpartition("-")[0]
    metric = GPUS.get(family) or GPU_FAMILIES.get(family)
    if metric is None or not pool.gpu:
        return None
    if pool.capacity_type == "spot":
        metric = f"PREEMPTIBLE_{metric if metric.endswith('_GPUS') else f'{metric}_GPUS'}"
    return pool.region, metric


def _cpu_key(pool: Pool) -> Key | None:
    """Machines with the newer GPUs count by their GPUs alone."""
    family = pool.instance_type.partition("-")[0]
    if family in {"a3", "a4", "g2"}:
        return None
    return pool.region, f"{family.upper()}_CPUS" if family in CPUS_OF_THEIR_OWN and family != "e2" else "CPUS"


def _family_limit(session: GoogleSession, family: str, region: str) -> float | None:
    """By Cloud Quotas; None where it may not be asked, or says nothing of this family."""
    path = f"v1/projects/{session.project}/locations/global/services/compute.googleapis.com/quotaInfos/{FAMILY_QUOTA}"
    try:
        said = session.rest("GET", "cloudquotas", path)
    except CloudError:
        return None
    rows: list[Any] = said.get("dimensionsInfos") or []
    for row in rows:
        named = row.get("dimensions") or {}
        if named.get("gpu_family") == family and region in (row.get("applicableLocations") or ()):
            return float(row.get("details", {}).get("value", 0))
    return None


def _everywhere(session: GoogleSession, asked: float) -> Iterator[Quota]:
    """GPUs of all kinds in all regions together: in a new project none."""
    rows = session.call(session.compute("Projects").get, project=session.project).quotas
    for row in rows:
        if row.metric == "GPUS_ALL_REGIONS" and asked:
            yield _quota(session, row.metric, "", limit=row.limit, used=row.usage, asked=asked)


def _quota(
    session: GoogleSession, metric: str, region: str, *, limit: float | None, used: float | None, asked: float
) -> Quota:
    by_family = metric in GPU_FAMILIES.values()
    code = FAMILY_QUOTA if by_family else f"{metric.replace('_', '-')}-per-project{'-region' if region else ''}"
    named = ",".join(filter(None, [f"region={region}" if region else "", f"gpu_family={metric}" if by_family else ""]))
    request = (
        "gcloud beta quotas preferences create --service=compute.googleapis.com"
        f" --project={session.project} --quota-id={code} --preferred-value={(used or 0) + asked:g}"
    )
    return Quota(
        cloud="gcp",
        name=metric,
        region=region,
        limit=limit,
        used=used,
        asked=asked,
        unit="vCPU" if metric.endswith("CPUS") else "GPU",
        code=code,
        request=f"{request} --dimensions={named}" if named else request,
    )
