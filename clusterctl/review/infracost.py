"""A review as Infracost's JSON (version 0.2), so that rules for OPA and dashboards that read that format work on it.

A run and a stack are a project each.  Of a stack costs are by the month; of a run `monthlyCost` is the dollars of the
whole run, and `totalHourlyCost` its burn rate.  Money is text with decimals, null is unknown; sums are of what is
known, as Infracost's own are, and the summary counts what has no price.
Format: https://github.com/infracost/infracost/blob/master/schema/infracost.schema.json
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from clusterctl.review.totals import is_planned, stack_name
from clusterctl.review.value import Review
from planners.infrastructure.value import CostPart, ResourceChange, ResourceCost
from planners.plan.value import Line, Plan
from planners.units import HOURS_PER_MONTH

VERSION = "0.2"
Json = dict[str, Any]
NUMBERS = ("hourlyQuantity", "monthlyQuantity", "price", "hourlyCost", "monthlyCost")


def infracost_data(review: Review) -> Json:
    """The document."""
    projects = [
        _project(
            spec.path,
            "clusterctl_run",
            _run(spec.before, known=not spec.problem_before),
            _run(spec.after, known=is_planned(spec)),
        )
        for spec in review.specs
        if spec.before is not None or spec.after is not None
    ]
    if review.infrastructure is not None:
        projects += _stacks(review.infrastructure.changes)
    ends = {"total": "breakdown", "pastTotal": "pastBreakdown", "diffTotal": "diff"}
    totals = {
        f"{prefix}{kind}": _sum(project[end][f"total{kind}"] for project in projects)
        for prefix, end in ends.items()
        for kind in ("HourlyCost", "MonthlyCost", "MonthlyUsageCost")
    }
    return {
        "version": VERSION,
        "metadata": _metadata(review),
        "currency": "USD",
        "projects": projects,
        **totals,
        "timeGenerated": review.valid_at.isoformat(),
        "summary": _added(project["summary"] for project in projects),
    }


def _metadata(review: Review) -> Json:
    at = review.valid_at.isoformat()
    empty = dict.fromkeys(("vcsBranch", "vcsCommitAuthorName", "vcsCommitAuthorEmail", "vcsCommitMessage"), "")
    commits = {"vcsCommitSha": review.head, "vcsBaseCommitSha": review.base}
    return {"infracostCommand": "diff", **empty, **commits, "vcsCommitTimestamp": at}


def _money(value: float | None) -> str | None:
    """`55.04`, `0.0832`, without an exponent."""
    if value is None:
        return None
    text = f"{value:.10f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def _sum(values: Iterable[str | None]) -> str | None:
    known = [float(value) for value in values if value is not None]
    return _money(sum(known)) if known else None


def _project(name: str, kind: str, past: Json, now: Json) -> Json:
    return {
        "name": name,
        "displayName": name,
        "metadata": {"path": name, "type": kind},
        "pastBreakdown": past,
        "breakdown": now,
        "diff": _difference(past, now),
        "summary": _summary([*now["resources"], *now["freeResources"]]),
    }


def _breakdown(resources: Sequence[Json], hourly: str | None) -> Json:
    return {
        "resources": list(resources),
        "freeResources": [],
        "totalHourlyCost": hourly,
        "totalMonthlyCost": _sum(resource["monthlyCost"] for resource in resources) or ("0" if not resources else None),
        "totalMonthlyUsageCost": None,
    }


def _run(plan: Plan | None, *, known: bool) -> Json:
    """A stage is a resource, a line of its bill a component.  No run costs 0; one without a plan is unknown."""
    if not known:
        return _breakdown([], None) | {"totalMonthlyCost": None}
    if plan is None:
        return _breakdown([], "0")
    stages: dict[str, list[Line]] = defaultdict(list)
    for line in plan.lines:
        stages[line.stage].append(line)
    resources = [_resource(name, "clusterctl_stage", map(_line, lines)) for name, lines in stages.items()]
    return _breakdown(resources, _money(plan.usd_per_hour))


def _resource(name: str, kind: str, components: Iterable[Json]) -> Json:
    listed = list(components)
    return {
        "name": name,
        "resourceType": kind,
        "metadata": {},
        "hourlyCost": _sum(component["hourlyCost"] for component in listed),
        "monthlyCost": _sum(component["monthlyCost"] for component in listed),
        "costComponents": listed,
    }


def _line(line: Line) -> Json:
    return {
        "name": line.name,
        "unit": line.unit,
        "hourlyQuantity": None,
        "monthlyQuantity": _money(line.quantity),
        "price": _money(line.usd_per_unit),
        "hourlyCost": None,
        "monthlyCost": _money(line.usd),
        "priceNotFound": line.usd is None,
    }


def _stacks(changes: Sequence[ResourceChange]) -> Iterator[Json]:
    stacks: dict[str, list[ResourceChange]] = defaultdict(list)
    for change in changes:
        stacks[stack_name(change.resource.urn)].append(change)
    for name, inside in stacks.items():
        past = _stack([change.before for change in inside if change.before is not None])
        now = _stack([change.after for change in inside if change.after is not None])
        yield _project(name, "pulumi_stack", past, now)


def _stack(costs: Sequence[ResourceCost]) -> Json:
    priced = [_priced(cost) for cost in costs if not cost.is_free and cost.resource.cloud]
    found = _breakdown(priced, _sum(resource["hourlyCost"] for resource in priced))
    found["freeResources"] = [
        {"name": cost.resource.name, "resourceType": cost.resource.type, "metadata": {}}
        for cost in costs
        if cost.is_free
    ]
    return found


def _priced(cost: ResourceCost) -> Json:
    resource = _resource(cost.resource.name, cost.resource.type, map(_component, cost.parts))
    resource["metadata"] = {"urn": cost.resource.urn, **({"unknown": cost.why_unknown} if cost.why_unknown else {})}
    tags = cost.resource.properties.get("tags")
    if isinstance(tags, dict):
        resource["tags"] = {str(key): value for key, value in tags.items() if isinstance(value, str)}
    return resource


def _component(part: CostPart) -> Json:
    def hourly(monthly: float | None) -> str | None:
        return _money(None if monthly is None else monthly / HOURS_PER_MONTH)

    component = {
        "name": part.name,
        "unit": part.unit,
        "hourlyQuantity": hourly(part.monthly_quantity),
        "monthlyQuantity": _money(part.monthly_quantity),
        "price": _money(part.usd_per_unit),
        "hourlyCost": hourly(part.usd_per_month),
        "monthlyCost": _money(part.usd_per_month),
        "priceNotFound": part.usd_per_unit is None,
    }
    return component | ({"usageBased": True} if part.usage_based else {})


def _difference(past: Json, now: Json) -> Json:
    """Resources that differ, with the change of each number.  What one end doesn't know has no known change."""
    ends = [{_key(resource): resource for resource in end["resources"]} for end in (past, now)]
    changed = []
    for key in dict.fromkeys([*ends[0], *ends[1]]):
        before, after = (end.get(key) for end in ends)
        if before != after and not any(end["totalMonthlyCost"] is None and not end["resources"] for end in (past, now)):
            changed.append(_resource_difference(before, after))
    return {
        "resources": changed,
        "freeResources": [],
        "totalHourlyCost": _minus(now["totalHourlyCost"], past["totalHourlyCost"]),
        "totalMonthlyCost": _minus(now["totalMonthlyCost"], past["totalMonthlyCost"]),
        "totalMonthlyUsageCost": None,
    }


def _key(resource: Json) -> tuple[str, str]:
    return resource["name"], resource["metadata"].get("urn", "")


def _resource_difference(before: Json | None, after: Json | None) -> Json:
    ends = [{} if end is None else {one["name"]: one for one in end["costComponents"]} for end in (before, after)]
    components = []
    for name in dict.fromkeys([*ends[0], *ends[1]]):
        old, new = (end.get(name) for end in ends)
        if old != new:
            moved = {number: _minus_or_absent(new, old, number) for number in NUMBERS}
            components.append((new or old or {}) | moved)
    costs = {name: _minus_or_absent(after, before, name) for name in ("hourlyCost", "monthlyCost")}
    return (after or before or {}) | costs | {"costComponents": components}


def _minus_or_absent(new: Json | None, old: Json | None, name: str) -> str | None:
    """The change; what isn't there at all counts as 0, what isn't known makes it unknown."""
    return _minus("0" if new is None else new[name], "0" if old is None else old[name])


def _minus(new: str | None, old: str | None) -> str | None:
    return None if new is None or old is None else _money(float(new) - float(old))


def _summary(resources: Sequence[Json]) -> Json:
    missing = [
        one["resourceType"] for one in resources if any(c["priceNotFound"] for c in one.get("costComponents", ()))
    ]
    unsupported = [one["resourceType"] for one in resources if one["metadata"].get("unknown")]
    supported = [one["resourceType"] for one in resources if not one["metadata"].get("unknown")]
    return {
        "totalDetectedResources": len(resources),
        "totalSupportedResources": len(supported),
        "totalUnsupportedResources": len(unsupported),
        "totalUsageBasedResources": sum(
            any(component.get("usageBased") for component in one.get("costComponents", ())) for one in resources
        ),
        "totalNoPriceResources": len(missing),
        "supportedResourceCounts": dict(Counter(supported)),
        "unsupportedResourceCounts": dict(Counter(unsupported)),
        "noPriceResourceCounts": dict(Counter(missing)),
    }


def _added(summaries: Iterable[Json]) -> Json:
    total = _summary([])
    for summary in summaries:
        for name, value in summary.items():
            total[name] = (
                dict(Counter(total[name]) + Counter(value)) if isinstance(value, dict) else total[name] + value
            )
    return total
