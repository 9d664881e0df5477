"""What differs between two plans, as rows: totals, seconds per phase, bill lines, and the specs' fields.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from clusterctl.json_text import json_text
from planners.plan.value import Plan

SCHEMA = "clusterctl.difference/1"
"""Name and version of the JSON document; described in docs/plan-json.md."""
NOTHING = "(not stated)"
MAX_TITLE = 20


class Row(NamedTuple):
    """One number of both plans; None where a plan has none or doesn't know it."""

    group: str
    """total, phase, bill."""
    name: str
    unit: str
    """h, USD, s, USD/h, GPU-h, or a noun for counts."""
    base: float | None
    other: float | None
    absent: tuple[bool, bool] = (False, False)
    """Whether base, other have no such phase or line; None means unknown otherwise."""

    @property
    def differs(self) -> bool:
        """Whether a person would see a difference: more than a thousandth."""
        if self.base is None or self.other is None:
            return self.base is not self.other or self.absent[0] != self.absent[1]
        return abs(self.other - self.base) > 1e-3 * max(abs(self.base), abs(self.other))


class FieldChange(NamedTuple):
    """One field that the two specs state differently, as text."""

    field: str
    base: str
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    base_label: str
    """What the first plan is called in the table: its file, or `as written`."""
    other_label: str
    titles: tuple[str, str]
    """Short names of both, for columns."""
    base: Plan
    other: Plan
    rows: tuple[Row, ...]
    fields: tuple[FieldChange, ...]

    @property
    def usd_change(self) -> float | None:
        """Dollars of the run, at the P50; None where a price of either is unknown."""
        return None if self.other.at_least or self.base.at_least else self.other.usd.p50 - self.base.usd.p50

    @property
    def hours_change(self) -> float:
        """Hours of the run, at the P50."""
        return self.other.hours.p50 - self.base.hours.p50

    def as_json(self) -> str:
        content = {
            "schema_name": SCHEMA,
            "base": {"label": self.base_label, "name": self.base.name, "id": self.base.id},
            "other": {"label": self.other_label, "name": self.other.name, "id": self.other.id},
            "rows": [row._asdict() for row in self.rows],
            "spec": [change._asdict() for change in self.fields],
        }
        return json_text(content, indent=2, ensure_ascii=False) + "\n"


def difference(base: Plan, other: Plan, *, base_label: str, other_label: str, titles: tuple[str, str]) -> Difference:
    """Both plans side by side.  Phases and lines are matched by stage and name."""
    rows = [Row("total", name, unit, of(base), of(other)) for name, unit, of in TOTALS]
    rows += _matched("phase", "s", _phases(base), _phases(other))
    rows += _matched("bill", "USD", _lines(base), _lines(other))
    return Difference(
        titles=titles,
        base_label=base_label,
        other_label=other_label,
        base=base,
        other=other,
        rows=tuple(rows),
        fields=tuple(_field_changes(base.spec, other.spec)),
    )


def file_title(label: str) -> str:
    """The end of a path, where files of one name differ least often: `…/main/rlcef.yaml`."""
    return label if len(label) <= MAX_TITLE else f"…{label[1 - MAX_TITLE :]}"


def _gpus(plan: Plan) -> int:
    """GPUs held at once: of the stage that holds most, since stages run one after another."""
    by_stage = Counter[str]()
    for pool in plan.pools:
        by_stage[pool.stage] += pool.gpus
    return max(by_stage.values(), default=0)


def gpu_hours(plan: Plan) -> float:
    return sum(pool.gpu_hours for pool in plan.pools)


def _idle_usd(plan: Plan) -> float | None:
    """Dollars of GPUs that wait for the sandbox fleet; None when a stage's are unknown."""
    idles = [stage.idle.usd for stage in plan.stages if stage.idle is not None]
    return None if any(usd is None for usd in idles) else sum(usd or 0.0 for usd in idles)


TOTALS: tuple[tuple[str, str, Callable[[Plan], float | None]], ...] = (
    ("time", "h", lambda plan: plan.hours.p50),
    ("time, P10", "h", lambda plan: plan.hours.p10),
    ("time, P90", "h", lambda plan: plan.hours.p90),
    ("dollars", "USD", lambda plan: None if plan.at_least else plan.usd.p50),
    ("dollars, P10", "USD", lambda plan: None if plan.at_least else plan.usd.p10),
    ("dollars, P90", "USD", lambda plan: None if plan.at_least else plan.usd.p90),
    ("cost per hour", "USD/h", lambda plan: plan.usd_per_hour),
    ("GPUs", "GPUs", _gpus),
    ("GPU-hours", "GPU-h", gpu_hours),
    ("concurrent sandboxes", "sandboxes", lambda plan: max((pool.slots or 0 for pool in plan.pools), default=0)),
    ("GPUs wait for sandboxes", "USD", _idle_usd),
)
"""Name, unit and amount of the rows of a whole run."""


def _phases(plan: Plan) -> dict[str, float | None]:
    many = len(plan.stages) > 1
    return {
        f"{stage.name}: {phase.name}" if many else phase.name: phase.seconds
        for stage in plan.stages
        for phase in stage.phases
    }


def _lines(plan: Plan) -> dict[str, float | None]:
    """Bill lines by name; several of one name are added, and one unknown makes the sum unknown."""
    many = len(plan.stages) > 1
    sums: dict[str, float | None] = {}
    for line in plan.lines:
        name = f"{line.stage}: {line.name}" if many else line.name
        before = sums.get(name, 0.0)
        sums[name] = None if before is None or line.usd is None else before + line.usd
    return sums


def _matched(group: str, unit: str, base: dict[str, float | None], other: dict[str, float | None]) -> Iterator[Row]:
    for name in dict.fromkeys([*base, *other]):
        yield Row(group, name, unit, base.get(name), other.get(name), absent=(name not in base, name not in other))


def _field_changes(base: dict[str, Any], other: dict[str, Any]) -> Iterator[FieldChange]:
    flat, flat_other = dict(_flat(base, "")), dict(_flat(other, ""))
    for field in dict.fromkeys([*flat, *flat_other]):
        change = FieldChange(field, flat.get(field, NOTHING), flat_other.get(field, NOTHING))
        if change.base != change.other:
            yield change


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every leaf of a spec as `stages.rlcef.steps` and its text; stages by name, empty values not at all."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(inner, dict) for inner in value):
        for index, inner in enumerate(value):
            name = inner.get("name") or inner.get("kind") or index if isinstance(inner, dict) else index
            yield from _flat(inner, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        if value:
            yield path, ", ".join(str(inner) for inner in value)
    elif isinstance(value, float) and value.is_integer():
        yield path, f"{value:.0f}"
    elif value is not None:
        yield path, str(value)
