"""A review: the change of each run spec and of the infrastructure, and the findings of the rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from clusterctl.ui.difference import Difference
from planners.infrastructure.value import Resource, ResourceChange
from planners.plan.value import Plan

Level = Literal["advisory", "mandatory"]
SpecStatus = Literal["added", "removed", "changed", "renamed", "affected"]
"""`affected`: the spec is as it was, but a file that it reads has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Why a finding doesn't count, in the open."""

    reason: str
    expires: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule that the head breaks."""

    rule: str
    """Id of the rule: `unencrypted-disk`."""
    group: str
    """money, capacity, safety, reproducibility, waste, or the name of the file with the team's own rule."""
    level: Level
    message: str
    """One sentence, with the numbers."""
    why: str
    """Why the rule is there."""
    subject: str
    """Path of a spec, or urn of a resource."""
    file: str = ""
    """Relative to the checkout; empty where no file says it."""
    line: int | None = None
    silence: Silence | None = None
    is_new: bool = True
    """False where the base breaks the rule in the same way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """An input that moved the cost: changed alone on the base it moves the dollars by `usd_change`."""

    field: str
    before: str
    after: str
    usd_change: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecChange:
    """One run spec or plan file at both ends, planned with the same prices."""

    path: str
    """Relative to the checkout, at the head; of a removed one, at the base."""
    old_path: str = ""
    """Where it was, if it was renamed."""
    status: SpecStatus
    reached_by: tuple[str, ...] = ()
    """Changed files that it reads."""
    before: Plan | None
    after: Plan | None
    problem_before: str = ""
    """Why there is no plan at the base, though the file is there."""
    problem: str = ""
    """Why there is no plan at the head, though the file is there: one message, with line and field."""
    problem_line: int | None = None
    is_infeasible: bool = False
    """Whether the problem is that no fleet satisfies the run."""
    difference: Difference | None = None
    """Where there is a plan at both ends."""
    drivers: tuple[Driver, ...] = ()
    """At most three, the largest first."""
    usd_price_drift: float | None = None
    """What the prices alone moved the base's dollars since it was planned; only asked for with `--price-drift`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InfrastructureChange:
    """The resources of one or more stacks at both ends."""

    stacks: tuple[str, ...]
    changes: tuple[ResourceChange, ...]
    providers_before: tuple[Resource, ...] = ()
    providers: tuple[Resource, ...] = ()
    """Of the stacks at either end: they cost nothing, and give tags to what they make."""
    notes: tuple[str, ...] = ()
    """What the preview doesn't show, as sentences."""
    price_dates: tuple[date, date] | None = None
    """Oldest and newest day of a price that was used."""

    @property
    def usd_per_month_before(self) -> float:
        """As far as it is known."""
        return sum(change.before.usd_per_month for change in self.changes if change.before)

    @property
    def usd_per_month(self) -> float:
        """As far as it is known."""
        return sum(change.after.usd_per_month for change in self.changes if change.after)

    @property
    def unknown(self) -> tuple[ResourceChange, ...]:
        """Those whose cost after the change isn't known whole: with one, a sum is "at least"."""
        return tuple(change for change in self.changes if change.after and not change.after.is_known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """All that is said of a change."""

    id: str
    """Names the comment: two reviews of one pull request with different ids have a comment each."""
    base: str
    """Commit; empty where only previews are compared."""
    head: str
    valid_at: datetime
    """When it was made, UTC."""
    specs: tuple[SpecChange, ...]
    infrastructure: InfrastructureChange | None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be looked at, as sentences: a shallow clone, a file that is too large."""
    price_dates: tuple[date, date] | None = None
    book: str = ""

    @property
    def broken(self) -> tuple[Finding, ...]:
        """Mandatory rules that are broken and not silenced."""
        return tuple(f for f in self.findings if f.level == "mandatory" and f.silence is None)

    @property
    def infeasible(self) -> tuple[SpecChange, ...]:
        """Specs for which no fleet was found at the head."""
        return tuple(spec for spec in self.specs if spec.is_infeasible)

    @property
    def exit_code(self) -> int:
        """0 fine, 1 a spec at the head can't be read, 2 a mandatory rule is broken, 3 a run is not feasible."""
        if any(spec.problem and not spec.is_infeasible for spec in self.specs):
            return 1
        return 3 if self.infeasible else 2 if self.broken else 0
