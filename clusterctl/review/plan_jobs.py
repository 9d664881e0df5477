"""What a further process of a review may do: plan checked specs, and find which inputs moved the dollars of one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from clusterctl.errors import ClusterctlError, Infeasible, SpecError
from clusterctl.plan_service import Planner
from clusterctl.review.drivers import cost_drivers
from clusterctl.review.value import Driver
from planners.plan.value import Plan
from planners.spec.run_spec import RunSpec

PlanKey = tuple[str, Path | None]
"""What a spec says, and the price book."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The plan of one spec, or why there is none."""

    plan: Plan | None = None
    problem: str = ""
    is_infeasible: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MakePlans:
    """A job: plans of specs that are alike, so that much of the search is worked out once."""

    specs: list[RunSpec]
    path: str
    """Of the file that the first is in, for messages."""
    now: datetime
    book: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindDrivers:
    """A job: what moved the dollars."""

    base: RunSpec
    head: RunSpec
    usd_base: float
    usd_change: float
    now: datetime
    book: Path | None


def plan_key(spec: RunSpec, book: Path | None) -> PlanKey:
    """By which a plan of `make_plans` is found again."""
    return spec.model_dump_json(), book


@cache
def planner(now: datetime, book: Path | None) -> Planner:
    """One a process: its plans share what is read."""
    return Planner(now=now, book=book)


def make_plans(job: MakePlans) -> dict[PlanKey, Planned]:
    """The plans by what their specs say."""
    return {plan_key(spec, job.book): _plan_one(job, spec) for spec in job.specs}


def _plan_one(job: MakePlans, spec: RunSpec) -> Planned:
    try:
        return Planned(plan=planner(job.now, job.book).plan_spec(spec, label=job.path, is_brief=True))
    except Infeasible as error:
        return Planned(problem=sentence(error, job.path), is_infeasible=True)
    except SpecError as error:
        return Planned(problem=sentence(error, job.path))


def find_drivers(job: FindDrivers) -> tuple[Driver, ...]:
    """The inputs that moved the dollars, each planned alone."""

    def usd_of(spec: RunSpec) -> float | None:
        try:
            plan = planner(job.now, job.book).plan_spec(spec, label="", is_brief=True)
        except (Infeasible, SpecError):
            return None
        return None if plan.at_least else plan.usd.p50 - job.usd_base

    return cost_drivers(job.base, job.head, usd_change=job.usd_change, usd_of=usd_of)


def sentence(error: ClusterctlError, name: str) -> str:
    """One message: what is wrong and the way on; not the file's name, which stands before it, nor the line of it."""
    message = re.sub(rf"^{re.escape(name)}(:\d+:\d+)?: ", "", error.message)
    return f"{message} ({error.hint})" if error.hint else message
