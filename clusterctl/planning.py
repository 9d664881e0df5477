"""From what a person names (a run spec or a plan file) to a plan: reads files, calls the planner."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from clusterctl.console import progress
from clusterctl.errors import Infeasible, PriceError, SpecError
from clusterctl.files.document import Document
from clusterctl.files.plan_file import MAX_BYTES, looks_like_plan, parse_plan
from clusterctl.files.spec_file import check_spec
from clusterctl.files.yaml_file import MAX_BYTES as MAX_SPEC_BYTES
from clusterctl.files.yaml_file import parse_yaml, read_text
from clusterctl.show.difference import Difference
from clusterctl.world import load_world
from planners.plan.build import build_plan
from planners.plan.value import Plan
from planners.search.selection import NoFleetError
from planners.spec.run import RunSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that says what is planned: a run spec, or a plan with the spec inside."""

    label: str
    """As typed."""
    document: Document
    """The spec, with the positions of its values; of a plan: the spec inside."""
    plan: Plan | None
    """The plan, if the file is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """What all plans of one command share."""

    now: datetime
    book: Path | None = None
    """Folder of a price book; None = the one in use."""
    pick: int | None = None
    """Number of the alternative to take."""
    objective: str | None = None
    """Wins over the spec's."""

    def plan(self, source: Source, overrides: Sequence[str] = ()) -> Plan:
        """The plan of `source` with `key=value` overrides.  A plan file is taken as it is when nothing is changed.

        Raises SpecError, Infeasible (names the nearest that is feasible) or StateError.
        """
        wishes = (self.book, self.pick, self.objective)
        if source.plan is not None and not overrides and wishes == (None, None, None):
            return source.plan
        chosen_by = [] if self.objective is None else [f"objective={self.objective}"]
        spec = check_spec(source.document, [*overrides, *chosen_by])
        try:
            return build_plan(spec, load_world(spec, book=self.book), now=self.now, pick=self.pick)
        except NoFleetError as error:
            raise self._infeasible(self._seen_from_everywhere(spec, error), source, overrides) from error

    def _seen_from_everywhere(self, spec: RunSpec, error: NoFleetError) -> NoFleetError:
        """The same failure with the nearest feasible fleet of all clouds, where the spec looked at some of them."""
        try:
            build_plan(spec, load_world(spec, book=self.book, everywhere=True), now=self.now, pick=self.pick)
        except NoFleetError as again:
            return again
        return error

    def _infeasible(self, error: NoFleetError, source: Source, overrides: Sequence[str]) -> Infeasible | SpecError:
        changed = "".join(f" with {text}" for text in overrides)
        if self.pick is not None and str(error) == f"there is no alternative {self.pick}":
            return SpecError(f"--pick {self.pick}: {error} of {source.label}{changed}", hint=error.nearest)
        hint = f"the nearest: {error.nearest}" if error.nearest else None
        return Infeasible(f"{source.label}{changed}: {error}", hint=hint)


def open_source(path: str) -> Source:
    """Read a spec or a plan (`-` reads standard input).  Raises SpecError or StateError."""
    name = "<stdin>" if path == "-" else path
    text = read_text(path, max_bytes=MAX_BYTES)
    if looks_like_plan(text):
        plan = parse_plan(text, name=name)
        inner = parse_yaml(json.dumps(plan.spec), name=f"the spec inside {name}", folder=_folder(path))
        return Source(label=path, document=inner, plan=plan)
    if len(text) > MAX_SPEC_BYTES:
        raise SpecError(f"{name}: is larger than {MAX_SPEC_BYTES // 1024:,} KiB")
    return Source(label=path, document=parse_yaml(text, name=name, folder=_folder(path)), plan=None)


def compare_all(planner: Planner, source: Source, *, changes: Sequence[str], against: str | None) -> list[Difference]:
    """What `key=value` changes do to the plan of `source`, or how it differs from the plan of another file.

    The last difference is the whole answer: all changes together.  Before it, if there are several, each one alone.
    """
    from clusterctl.show.difference import difference, file_title

    if against is not None:
        other = open_source(against)
        base = replace(planner, pick=None).plan(other)
        label = " with ".join([source.label, *changes])
        titles = (file_title(other.label), file_title(source.label))
        changed = planner.plan(source, changes)
        return [difference(base, changed, base_label=other.label, other_label=label, titles=titles)]
    base = planner.plan(source)
    steps: list[list[str]] = [[change] for change in changes] if len(changes) > 1 else []
    found = []
    with progress("planning what if", total=len(steps) + 1) as advance:
        for some in [*steps, list(changes)]:
            changed = planner.plan(source, some)
            label = f"what if {', '.join(some)}"
            found.append(
                difference(base, changed, base_label=source.label, other_label=label, titles=("as it is", "what if"))
            )
            advance(1)
    return found


def _folder(path: str) -> Path:
    return Path() if path == "-" else Path(path).parent


def refuse_old_prices(plan: Plan, max_days: int, *, now: datetime) -> None:
    """Raise PriceError when a price that the plan is billed by is older than `max_days`, or of unknown age."""
    oldest = plan.prices.oldest
    if oldest is None:
        raise PriceError("the prices of this plan are of unknown age", hint="leave out --max-price-age to see the plan")
    days = (now.date() - oldest).days
    if days > max_days:
        raise PriceError(
            f"the oldest price of this plan is {days} days old; --max-price-age allows {max_days}",
            hint="read new prices with `clusterctl prices refresh`",
        )
