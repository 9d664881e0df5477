"""Plans both ends of each changed spec with the same prices, and says which inputs moved the dollars.

What a spec says is read in this process, with the files that it names; a further process gets checked specs alone.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from clusterctl.errors import SpecError, StateError
from clusterctl.json_text import json_text
from clusterctl.plan_service import Worlds
from clusterctl.review.book_ends import BookEnds
from clusterctl.review.changed import ChangedSpec, SpecText
from clusterctl.review.checkout import Checkout
from clusterctl.review.drivers import plans_for_drivers
from clusterctl.review.plan_jobs import (
    FindDrivers,
    MakePlans,
    PlanKey,
    Planned,
    find_drivers,
    make_plans,
    plan_key,
    planner,
    sentence,
)
from clusterctl.review.price_drift import drift_since, drift_since_plan
from clusterctl.review.tree_files import TreeFiles
from clusterctl.review.trees import Tree, shown_path
from clusterctl.review.two_processes import do_all
from clusterctl.review.value import SpecChange
from clusterctl.specfile.plan_file import parse_plan
from clusterctl.specfile.spec_file import check_spec
from clusterctl.specfile.yaml_file import parse_yaml
from clusterctl.ui.difference import difference
from clusterctl.ui.terminal import progress
from planners.plan.value import Plan
from planners.spec.run_spec import RunSpec

MOST_DRIVER_PLANS = 24
"""Plans for drivers in one review, a second or two on two cores: those that moved most come first."""
MOST_IN_A_JOB = 4
"""Specs: few enough that processes end at about the same time."""
AMOUNTS: Any = {
    **dict.fromkeys(("name", "description", "limits", "objective", "economics"), True),
    "stages": {"__all__": {"samples", "steps", "tokens", "tasks"}},
}
"""Of a spec: what leaves the time of a unit of work on each fleet as it is."""
TITLES = ("base", "head")


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """What one end of a file says."""

    spec: RunSpec | None = None
    stored: Plan | None = None
    """Of a plan file."""
    problem: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A changed file with what both ends say."""

    changed: ChangedSpec
    base: _End
    head: _End

    @property
    def says_the_same(self) -> bool:
        return self.base.spec is not None and self.base.spec == self.head.spec


def compare_specs(
    checkout: Checkout,
    changed: Sequence[ChangedSpec],
    pool: ProcessPoolExecutor | None,
    *,
    now: datetime,
    books: BookEnds,
    with_price_drift: bool,
) -> tuple[tuple[SpecChange, ...], tuple[str, ...]]:
    """What each changed spec costs before and after, and notes.  A spec that says the same at both ends is left out.

    Raises StateError when a file of ours is damaged, such as the price book.
    """
    before, worlds = planner(now, books.base).worlds, planner(now, books.head).worlds
    every = [
        _Pair(changed=c, base=_end(c.base, checkout.base, before), head=_end(c.head, checkout.head, worlds))
        for c in changed
    ]
    pairs = [pair for pair in every if books.changed or not pair.says_the_same]
    jobs = _jobs(pairs, now, books)
    with progress("planning both ends", total=len(jobs)) as advance:
        planned: dict[PlanKey, Planned] = {}
        for plans in do_all(pool, make_plans, jobs, lambda: advance(1)):
            planned |= plans
        changes = [_change(p, _of(p.base, planned, books.base), _of(p.head, planned, books.head)) for p in pairs]
        wanted = _worth_drivers(changes, pairs, now, books.base)
        found = do_all(pool, find_drivers, list(wanted.values()), lambda: None)
    for index, drivers in zip(wanted, found, strict=True):
        changes[index] = replace(changes[index], drivers=drivers)
    if with_price_drift:
        changes = [_with_drift(c, pair, checkout, worlds) for c, pair in zip(changes, pairs, strict=True)]
    notes = (note for c, pair in zip(changes, pairs, strict=True) for note in _other_fleet(c, pair))
    return tuple(changes), (*notes, *_without_drivers(changes))


def _jobs(pairs: Sequence[_Pair], now: datetime, books: BookEnds) -> list[MakePlans]:
    """Each spec once, whichever files say it, beside those that differ from it in amounts and limits alone."""
    known, jobs, job_of = set[PlanKey](), list[MakePlans](), dict[PlanKey, MakePlans]()
    for pair in pairs:
        for end, book in ((pair.base, books.base), (pair.head, books.head)):
            if end.spec is None or plan_key(end.spec, book) in known:
                continue
            known.add(plan_key(end.spec, book))
            alike = (end.spec.model_dump_json(exclude=AMOUNTS), book)
            job = job_of.get(alike)
            if job is None or len(job.specs) >= MOST_IN_A_JOB:
                job = MakePlans(specs=[], path=shown_path(pair.changed.path), now=now, book=book)
                job_of[alike] = job
                jobs.append(job)
            job.specs.append(end.spec)
    return jobs


def _end(text: SpecText | None, tree: Tree, worlds: Worlds) -> _End:
    """What a file says at one end: a checked spec, or why there is none."""
    if text is None:
        return _End()
    name, stored = shown_path(text.path), None
    try:
        if text.problem is not None:
            raise text.problem
        if text.kind == "plan":
            stored = parse_plan(text.text, name=name)
            document = parse_yaml(json_text(stored.spec), name=f"the spec inside {name}")
        else:
            assert text.document is not None  # else there is a problem
            document = text.document
        files = TreeFiles(tree, posixpath.dirname(text.path))
        return _End(spec=check_spec(document, open_book=worlds.prices, files=files), stored=stored)
    except (SpecError, StateError) as error:
        if isinstance(error, StateError) and text.kind == "spec":
            raise  # not the file, but the price book is damaged
        return _End(stored=stored, problem=sentence(error, name), line=_line(error.message, name))


def _line(message: str, name: str) -> int | None:
    """The first line of the file `name` that a message names."""
    found = re.search(rf"{re.escape(name)}:(\d+)", message)
    return int(found[1]) if found else None


def _of(end: _End, planned: Mapping[PlanKey, Planned], book: Path | None) -> Planned:
    return Planned() if end.spec is None else planned[plan_key(end.spec, book)]


def _change(pair: _Pair, before: Planned, after: Planned) -> SpecChange:
    changed, base, head = pair.changed, pair.base, pair.head
    path = shown_path(changed.path)
    old = shown_path(changed.base.path) if changed.base else ""
    both = None
    if before.plan and after.plan:
        both = difference(before.plan, after.plan, base_label=old, other_label=path, titles=TITLES)
    return SpecChange(
        path=path,
        old_path=old if changed.status == "renamed" else "",
        status=changed.status,
        reached_by=changed.reached_by,
        before=before.plan,
        after=after.plan,
        problem_before=base.problem or before.problem,
        problem=head.problem or after.problem,
        problem_line=head.line,
        is_infeasible=after.is_infeasible,
        difference=both,
    )


def _worth_drivers(
    changes: Sequence[SpecChange], pairs: Sequence[_Pair], now: datetime, book: Path | None
) -> dict[int, FindDrivers]:
    """By number of the change: those whose dollars moved, the most moved first, as far as MOST_DRIVER_PLANS reach."""
    moved = [(i, c.difference.usd_change) for i, c in enumerate(changes) if c.difference is not None]
    plans, found = 0, dict[int, FindDrivers]()
    for index, usd_change in sorted(moved, key=lambda each: -abs(each[1] or 0.0)):
        base, head, before = pairs[index].base.spec, pairs[index].head.spec, changes[index].before
        if not usd_change or before is None or base is None or head is None:
            continue
        needed = plans_for_drivers(base, head)
        if plans + needed <= MOST_DRIVER_PLANS:
            plans += needed
            found[index] = FindDrivers(
                base=base, head=head, usd_base=before.usd.p50, usd_change=usd_change, now=now, book=book
            )
    return found


def _without_drivers(changes: Sequence[SpecChange]) -> tuple[str, ...]:
    lacking = [c.path for c in changes if c.difference is not None and c.difference.usd_change and not c.drivers]
    if not lacking:
        return ()
    named = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
    return (f"Which inputs moved the cost was worked out for the specs that moved most; not for {named}.",)


def _with_drift(change: SpecChange, pair: _Pair, checkout: Checkout, worlds: Worlds) -> SpecChange:
    if pair.base.stored is not None:
        return replace(change, usd_price_drift=drift_since_plan(pair.base.stored, worlds.prices()))
    if change.before is not None:
        drift = drift_since(change.before, worlds.prices(), checkout.base_date.date())
        return replace(change, usd_price_drift=drift)
    return change


def _other_fleet(change: SpecChange, pair: _Pair) -> tuple[str, ...]:
    """What a plan file holds is what `up` runs: said where its spec would be planned otherwise today."""
    stored, after = pair.head.stored, change.after
    if stored is None or after is None or _machines(stored) == _machines(after):
        return ()
    return (
        f"{change.path} holds {_machines(stored)}; at today's prices its spec gives {_machines(after)}, whose cost is"
        " shown. `up` runs what the file holds.",
    )


def _machines(plan: Plan) -> str:
    return " + ".join(f"{p.nodes} × {p.instance_type} in {p.region} ({p.capacity_type})" for p in plan.pools)
