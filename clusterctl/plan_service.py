"""From what a person names (a run spec or a plan file) to a plan: reads files, facts, prices and what own runs taught.

`plan` is short, and reading two rows of what own runs taught must not cost it a quarter of a second: SQLite is read
with Python's own driver, without a database toolkit.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from clusterctl.catalog.lookup import find_gpu, find_model, load_calibration, load_gpus
from clusterctl.catalog.price_book import PriceBook, load_availability, load_book
from clusterctl.errors import Infeasible, PriceError, SpecError, StateError
from clusterctl.json_text import json_text
from clusterctl.ledger import ledger_url, open_ledger
from clusterctl.sandbox.start_profile import starts_here
from clusterctl.specfile.plan_file import MAX_BYTES, looks_like_plan, parse_plan
from clusterctl.specfile.spec_file import check_spec
from clusterctl.specfile.yaml_file import MAX_BYTES as MAX_SPEC_BYTES
from clusterctl.specfile.yaml_file import Document, parse_yaml, read_text
from clusterctl.ui.difference import Difference
from clusterctl.ui.terminal import progress
from planners.inputs import PlanInputs
from planners.plan.build import build_plan
from planners.plan.unit_prices import SYSTEM_NODE_TYPES
from planners.plan.value import Plan
from planners.search.selection import NoFleetError
from planners.spec.fleet import CLOUDS, is_cloud
from planners.spec.run_spec import RunSpec
from planners.workload.factors import NO_FACTORS, Factor, FactorKey, Factors

if TYPE_CHECKING:
    from clusterctl.ledger.rows import FactorRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that says what is planned: a run spec, or a plan with the spec inside."""

    label: str
    """As typed."""
    document: Document
    """The spec, with the positions of its values; of a plan: the spec inside."""
    plan: Plan | None
    """The plan, if the file is one."""


@dataclass(slots=True, kw_only=True)
class Worlds:
    """What plans are made from besides their specs, read once for the specs of one command that look at the same."""

    book: Path | None = None
    """Folder of a price book; None = the one in use."""
    _prices: PriceBook | None = None
    _factors: Factors | None = None
    _read: dict[Any, PlanInputs] = field(default_factory=dict)

    def world(self, spec: RunSpec, *, everywhere: bool = False) -> PlanInputs:
        """Facts for planning `spec`; of the price book only the clouds that it may use, or all: what else could be
        done.

        Raises StateError when a file of ours is damaged or of another version.
        """
        prices = self.prices()
        every = prices.prices()["cloud"].unique().sort().to_list() if everywhere else []
        named = [*every, *(target for target in spec.fleet.targets if is_cloud(target))]
        clouds = tuple(dict.fromkeys(named)) or CLOUDS
        sandbox_clouds = tuple(sorted({*clouds, *(t for t in spec.fleet.sandbox.targets or () if is_cloud(t))}))
        capacities = tuple(str(capacity) for capacity in spec.fleet.sandbox.capacity)
        looked_at = (clouds, sandbox_clouds, capacities)
        if looked_at not in self._read:
            self._read[looked_at] = self._inputs(prices, *looked_at)
        is_here = {*spec.fleet.targets, *(spec.fleet.sandbox.targets or ())} == {"local"}
        return replace(self._read[looked_at], sandbox_starts=starts_here() if is_here else None)

    def prices(self) -> PriceBook:
        """The price book.  Raises StateError."""
        if self._prices is None:
            self._prices = load_book(self.book)
        return self._prices

    def _learned(self) -> Factors:
        if self._factors is None:
            self._factors = load_factors()
        return self._factors

    def _inputs(
        self, prices: PriceBook, clouds: Sequence[str], sandbox_clouds: Sequence[str], capacities: Sequence[str]
    ) -> PlanInputs:
        return PlanInputs(
            find_model=find_model,
            find_gpu=find_gpu,
            gpus={gpu.name: gpu for gpu in load_gpus().values()},
            gpu_offers=prices.offers(clouds, kind="gpu"),
            cpu_offers=prices.sandbox_offers(sandbox_clouds, capacity_types=capacities),
            extras=prices.extras_with_nodes(SYSTEM_NODE_TYPES.values()),
            token_prices=prices.token_prices(),
            calibration=load_calibration(),
            availability=load_availability(),
            book=prices.book_id,
            factors=self._learned(),
        )


@dataclass(frozen=True, kw_only=True)
class Planner:
    """What all plans of one command share."""

    now: datetime
    book: Path | None = None
    """Folder of a price book; None = the one in use."""
    pick: int | None = None
    """Number of the alternative to take."""
    objective: str | None = None
    """Wins over the spec's."""

    @cached_property
    def worlds(self) -> Worlds:
        """Read for all plans together."""
        return Worlds(book=self.book)

    def plan(self, source: Source, overrides: Sequence[str] = ()) -> Plan:
        """The plan of `source` with `key=value` overrides.  A plan file is taken as it is when nothing is changed.

        Raises SpecError, Infeasible (names the nearest that is feasible) or StateError.
        """
        wishes = (self.book, self.pick, self.objective)
        if source.plan is not None and not overrides and wishes == (None, None, None):
            return source.plan
        chosen_by = [] if self.objective is None else [f"objective={self.objective}"]
        spec = check_spec(source.document, [*overrides, *chosen_by], open_book=self.worlds.prices)
        return self.plan_spec(spec, label=source.label + "".join(f" with {text}" for text in overrides))

    def plan_spec(self, spec: RunSpec, *, label: str, is_brief: bool = False) -> Plan:
        """The plan of a checked spec, which messages call `label`.

        is_brief: without what only a page of the plan shows (`build_plan`).  Raises Infeasible, which names the nearest
        that is feasible (a brief one on the clouds of the spec alone), SpecError where `pick` is no alternative, or
        StateError.
        """
        try:
            return build_plan(spec, self.worlds.world(spec), now=self.now, pick=self.pick, is_brief=is_brief)
        except NoFleetError as error:
            raise self._infeasible(error if is_brief else self._seen_from_everywhere(spec, error), label) from error

    def _seen_from_everywhere(self, spec: RunSpec, error: NoFleetError) -> NoFleetError:
        """The same failure with the nearest feasible fleet of all clouds, where the spec looked at some of them."""
        try:
            build_plan(spec, self.worlds.world(spec, everywhere=True), now=self.now, pick=self.pick)
        except NoFleetError as again:
            return again
        return error

    def _infeasible(self, error: NoFleetError, label: str) -> Infeasible | SpecError:
        if self.pick is not None and str(error) == f"there is no alternative {self.pick}":
            return SpecError(f"--pick {self.pick}: {error} of {label}", hint=error.nearest)
        hint = f"the nearest: {error.nearest}" if error.nearest else None
        return Infeasible(f"{label}: {error}", hint=hint)


def open_source(path: str) -> Source:
    """Read a spec or a plan (`-` reads standard input).  Raises SpecError or StateError."""
    name = "<stdin>" if path == "-" else path
    text = read_text(path, max_bytes=MAX_BYTES)
    if looks_like_plan(text):
        plan = parse_plan(text, name=name)
        inner = parse_yaml(json_text(plan.spec), name=f"the spec inside {name}", folder=_folder(path))
        return Source(label=path, document=inner, plan=plan)
    if len(text) > MAX_SPEC_BYTES:
        raise SpecError(f"{name}: is larger than {MAX_SPEC_BYTES // 1024:,} KiB")
    return Source(label=path, document=parse_yaml(text, name=name, folder=_folder(path)), plan=None)


def compare_all(planner: Planner, source: Source, *, changes: Sequence[str], against: str | None) -> list[Difference]:
    """What `key=value` changes do to the plan of `source`, or how it differs from the plan of another file.

    The last difference is the whole answer: all changes together.  Before it, if there are several, each one alone.
    """
    from clusterctl.ui.difference import difference, file_title

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
    problem = plan.prices.too_old(max_days, today=now.date())
    if problem is not None:
        raise PriceError(
            f"{problem}; --max-price-age allows {max_days}",
            hint="`clusterctl prices refresh` reads new prices of machines; without the option the plan is shown",
        )


def load_world(spec: RunSpec, *, book: Path | None = None) -> PlanInputs:
    """Facts for planning one spec.  Raises StateError when a file of ours is damaged or of another version."""
    return Worlds(book=book).world(spec)


COLUMNS = ("calibration_id", *FactorKey._fields, "gpu", "log_factor", "log_sd", "ratios")
IN_USE = """SELECT * FROM factors WHERE calibration_id = (SELECT calibration_id FROM factors
 WHERE reverted_at IS NULL ORDER BY applied_at DESC, calibration_id LIMIT 1)"""
WAIT_SECONDS = 2.0


def load_factors() -> Factors:
    """The factors in use; none without a ledger.  A ledger that can't be read is warned of: the plan is then made
    without them."""
    where = ledger_url()
    try:
        if where.startswith("postgres"):
            with open_ledger(wait_seconds=WAIT_SECONDS) as ledger:
                return factors_of(ledger.factors(in_use=True))
        file = Path(where.partition(":///")[2] if "://" in where else where).expanduser()
        return _from_sqlite(file) if file.exists() else NO_FACTORS
    except StateError as error:
        logging.getLogger(__name__).warning("planned without what your runs taught: %s", error.message)
        return NO_FACTORS


def factors_of(rows: tuple[FactorRow, ...]) -> Factors:
    """The rows of one calibration as a value."""
    return _factors({name: getattr(row, name) for name in COLUMNS} for row in rows)


def _from_sqlite(file: Path) -> Factors:
    import sqlite3
    from contextlib import closing

    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=WAIT_SECONDS)) as connection:
            connection.row_factory = sqlite3.Row
            found = [dict(row) for row in connection.execute(IN_USE)]
    except sqlite3.Error as error:
        if "no such table" in str(error):  # a ledger from before plans could learn
            return NO_FACTORS
        raise StateError(f"the ledger {file} can't be read: {error}") from error
    try:
        return _factors(row | {"ratios": json.loads(row["ratios"])} for row in found)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StateError(f"the factors in the ledger {file} can't be read: {error!r}") from error


def _factors(rows: Any) -> Factors:
    """Any: rows as the two drivers give them."""
    found = list(rows)
    factors = Factors(
        identity=found[-1]["calibration_id"] if found else "",
        rows=tuple(
            Factor(
                place=FactorKey(*(row[name] for name in FactorKey._fields)),
                **{name: row[name] for name in ("gpu", "log_factor", "log_sd", "ratios")},
            )
            for row in found
        ),
    )
    for row in factors.rows:
        if not all(map(math.isfinite, (row.log_factor, row.log_sd, *row.ratios.values()))):
            raise ValueError(f"a factor of {row.gpu} is no number")
    return factors
