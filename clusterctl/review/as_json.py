"""A review for other programs: `clusterctl review --json`.  docs/review-output.md describes it.

Dollars are US dollars as numbers; null is unknown, never zero.  Within a version of the schema fields are only added.
"""

from __future__ import annotations

from typing import Any

from clusterctl.review.finding_blocks import ordered as ordered_findings
from clusterctl.review.resource_blocks import cost_unknowns
from clusterctl.review.totals import UsdChange, ceiling_usd_per_month, resource_moves, resource_usd, runs_usd, spec_usd
from clusterctl.review.value import Finding, InfrastructureChange, Review, SpecChange
from clusterctl.review.verdict import blocks, headline, status
from clusterctl.ui.difference import gpu_hours
from planners.infrastructure.value import CostPart, ResourceChange, ResourceCost
from planners.plan.value import Plan

SCHEMA = "clusterctl.review/1"


def review_data(review: Review) -> dict[str, Any]:
    """The whole review as dicts, lists and scalars: every row that a comment may leave out."""
    verdict = {"headline": headline(review), "status": list(status(review)), "blocks": blocks(review)}
    return {
        "schema_name": SCHEMA,
        "id": review.id,
        "base": review.base or None,
        "head": review.head or None,
        "valid_at": review.valid_at.isoformat(),
        "exit_code": review.exit_code,
        "verdict": verdict,
        "runs": _usd(runs_usd(review.specs)),
        "specs": [_spec(spec) for spec in review.specs],
        "infrastructure": None if review.infrastructure is None else _infrastructure(review.infrastructure),
        "findings": [_finding(found) for found in ordered_findings(review.findings)],
        "notes": list(review.notes),
        "prices": {"book": review.book or None, **_dates(review.price_dates)},
    }


def _dates(dates: tuple[Any, Any] | None) -> dict[str, Any]:
    oldest, newest = dates or (None, None)
    return {"oldest": None if oldest is None else str(oldest), "newest": None if newest is None else str(newest)}


def _usd(found: UsdChange) -> dict[str, Any]:
    """`usd_before` and `usd_after` are sums of what is known; `…_at_least` says that there is more."""
    return {
        "usd_before": found.before,
        "usd_after": found.after,
        "usd_before_at_least": found.before_at_least,
        "usd_after_at_least": found.after_at_least,
        "usd_change": found.known_usd,
        "usd_change_at_least": found.change_at_least,
        "ratio": found.ratio,
        "num_unknown": found.unknown,
    }


def _spec(spec: SpecChange) -> dict[str, Any]:
    found = spec.difference
    return {
        "path": spec.path,
        "old_path": spec.old_path or None,
        "status": spec.status,
        "reached_by": list(spec.reached_by),
        "before": None if spec.before is None else _plan(spec.before),
        "after": None if spec.after is None else _plan(spec.after),
        "change": _usd(spec_usd(spec)),
        "problem_before": spec.problem_before or None,
        "problem": spec.problem or None,
        "problem_line": spec.problem_line,
        "is_infeasible": spec.is_infeasible,
        "rows": [] if found is None else [row._asdict() for row in found.rows],
        "fields": [] if found is None else [change._asdict() for change in found.fields],
        "drivers": [
            {"field": driver.field, "before": driver.before, "after": driver.after, "usd_change": driver.usd_change}
            for driver in spec.drivers
        ],
        "usd_price_drift": spec.usd_price_drift,
    }


def _plan(plan: Plan) -> dict[str, Any]:
    idle = [stage.idle.usd for stage in plan.stages if stage.idle is not None]
    return {
        "id": plan.id,
        "name": plan.name,
        "fleet": plan.fleet,
        "feasible": plan.feasible,
        "usd": plan.usd.model_dump(),
        "at_least": plan.at_least,
        "hours": plan.hours.model_dump(),
        "gpu_hours": gpu_hours(plan),
        "usd_per_hour": plan.usd_per_hour,
        "usd_per_hour_known": plan.known_usd_per_hour,
        "concurrent_sandboxes": max((pool.slots or 0 for pool in plan.pools), default=0),
        "usd_gpus_wait": None if any(usd is None for usd in idle) else sum(usd or 0.0 for usd in idle),
        "pools": [pool.model_dump(mode="json") for pool in plan.pools],
        "bill": [line.model_dump(mode="json") for line in plan.lines],
        "unpriced": [item.model_dump() for item in plan.unpriced],
        "prices": plan.prices.model_dump(mode="json"),
    }


def _infrastructure(found: InfrastructureChange) -> dict[str, Any]:
    ceiling, at_least = ceiling_usd_per_month(found) or (None, None)
    return {
        "stacks": list(found.stacks),
        "month": {**_usd(resource_moves(found).total), "usd_ceiling": ceiling, "usd_ceiling_at_least": at_least},
        "resources": [_resource(change) for change in found.changes],
        "notes": list(found.notes),
        "prices": _dates(found.price_dates),
    }


def _resource(change: ResourceChange) -> dict[str, Any]:
    resource = change.resource
    return {
        "urn": resource.urn,
        "type": resource.type,
        "name": resource.name,
        "cloud": resource.cloud or None,
        "region": resource.region or None,
        "source": resource.source or None,
        "op": change.op,
        "changed": list(change.changed),
        "month": _usd(resource_usd(change)),
        "before": None if change.before is None else _cost(change.before),
        "after": None if change.after is None else _cost(change.after),
    }


def _cost(cost: ResourceCost) -> dict[str, Any]:
    return {
        "usd_per_month": cost.usd_per_month,
        "is_known": cost.is_known,
        "is_free": cost.is_free,
        "why_unknown": cost_unknowns(cost),
        "count": cost.count,
        "ceiling_count": cost.ceiling_count,
        "ceiling_usd_per_month": cost.ceiling_usd_per_month,
        "notes": list(cost.notes),
        "parts": [_part(part) for part in cost.parts],
    }


def _part(part: CostPart) -> dict[str, Any]:
    return {
        "name": part.name,
        "unit": part.unit,
        "monthly_quantity": part.monthly_quantity,
        "usd_per_unit": part.usd_per_unit,
        "usd_per_month": part.usd_per_month,
        "usage_based": part.usage_based,
        "assumed": list(part.assumed),
        "as_of": None if part.as_of is None else str(part.as_of),
    }


def _finding(found: Finding) -> dict[str, Any]:
    silence = found.silence
    return {
        "rule": found.rule,
        "group": found.group,
        "level": found.level,
        "message": found.message,
        "why": found.why or None,
        "subject": found.subject,
        "file": found.file or None,
        "line": found.line,
        "is_new": found.is_new,
        "silence": None if silence is None else {"reason": silence.reason, "expires": str(silence.expires)},
    }
