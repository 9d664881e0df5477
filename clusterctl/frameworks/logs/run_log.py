"""One run by its log: the rows of all ranks and of resumed parts made into steps, and each step's seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median

from clusterctl.errors import SpecError
from clusterctl.frameworks.logs import names
from clusterctl.frameworks.logs.log_rows import LogRow
from planners.learn.observe import ENOUGH_STEPS, WARM_UP_STEPS

Covers = tuple[str, ...]
"""Planned phases that a figure holds together."""
MOST_STEPS = 1_000_000
MOST_LINES_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLog:
    """What a log says of a run.  Seconds are in the order of steps, with the warm-up."""

    name: str
    framework: str
    evidence: str
    first_step: int
    last_step: int
    num_steps: int
    phases: Mapping[Covers, Sequence[float]]
    keys: Mapping[Covers, str]
    step_seconds: Sequence[float]
    step_key: str
    """Where the seconds of whole steps come from."""
    tokens_per_second_and_gpu: Sequence[float]
    response_tokens: float | None
    prompt_tokens: float | None
    reward: float | None
    notes: tuple[str, ...]
    """What was not used, with the lines."""


@dataclass(slots=True)
class _Steps:
    """Values by step; where several ranks write the same step, the first counts."""

    values: dict[int, dict[str, float]] = field(default_factory=dict)
    clocks: dict[int, float] = field(default_factory=dict)
    last: int = 0
    repeated: int = 0
    resumed: list[str] = field(default_factory=list)

    def add(self, row: LogRow) -> None:
        stated = next((row.values[key] for key in names.STEP_NUMBERS if key in row.values), None)
        following = self.last if names.PER_SECOND in row.values else self.last + 1
        step = row.step if row.step is not None else int(stated) if stated is not None else following
        if step < self.last - 1 and set(row.values) <= set(self.values.get(step, {})):
            self.resumed.append(f"line {row.line} goes back to step {step}")
            for later in [known for known in self.values if known >= step]:
                del self.values[later]
                self.clocks.pop(later, None)
            self.last = step
        self.last = max(self.last, step)
        have = self.values.setdefault(step, {})
        self.repeated += bool(have) and set(row.values) <= set(have)
        for key, value in row.values.items():
            have.setdefault(key, value)
        if row.clock is not None:
            self.clocks.setdefault(step, row.clock)


def run_log(name: str, rows: Iterable[LogRow | int], framework: str | None) -> RunLog:
    """Make one run of the rows of a log; a number is that of a line that looked like one and is broken.

    Raises SpecError where no step has seconds, or several frameworks' figures are mixed.
    """
    read: list[LogRow] = []
    broken: list[int] = []
    for row in rows:
        if isinstance(row, int):
            broken.append(row)
        else:
            read.append(row)
        if len(read) > MOST_STEPS:
            raise SpecError(f"{name}: has more than {MOST_STEPS:,} rows", hint="cut it to the steps of one run")
    chosen = _framework(name, read, framework)
    mine = [row for row in read if _of(row) in (chosen, None)]
    steps, bars, length = _Steps(), _Steps(), _bar_length(mine)
    for row in mine:
        if names.ELAPSED in row.values:
            if row.values[names.BAR_LENGTH] == length:
                bars.add(row)
        elif not any(key.startswith("eval_") for key in row.values):
            steps.add(row)
    ordered = sorted(steps.values)
    phases, keys = _phases(steps, ordered)
    seconds, key = _step_seconds(steps, bars, ordered)
    tps = [v for step in ordered if (v := _first(steps.values[step], names.TOKENS_PER_SECOND_AND_GPU)) is not None]
    if not phases and not seconds and not tps:
        raise _nothing(name, read, broken)
    evidence = next(iter(keys.values()), key)
    return RunLog(
        name=(Path(name).stem or name)[:100],
        framework=chosen,
        evidence=evidence,
        first_step=ordered[0] if ordered else min(bars.values, default=0),
        last_step=ordered[-1] if ordered else max(bars.values, default=0),
        num_steps=len(ordered) or len(bars.values),
        phases=phases,
        keys=keys,
        step_seconds=seconds,
        step_key=key,
        tokens_per_second_and_gpu=tps,
        response_tokens=_typical(steps, ordered, names.RESPONSE_TOKENS),
        prompt_tokens=_typical(steps, ordered, names.PROMPT_TOKENS),
        reward=_typical(steps, ordered, names.REWARDS),
        notes=_notes(steps, broken, len(read) - len(mine), chosen),
    )


def _bar_length(rows: Sequence[LogRow]) -> float | None:
    """Of several progress bars (downloads, batches of a step) the one of the run: it counts the longest."""
    bars = [row.values for row in rows if names.ELAPSED in row.values]
    return max(bars, key=lambda bar: bar[names.ELAPSED])[names.BAR_LENGTH] if bars else None


def _of(row: LogRow) -> str | None:
    """Whose figures a row has; None for figures that any framework writes."""
    for key in row.values:
        if key in names.PHASES:
            return str(names.PHASES[key][0])
        if key in names.STEP_SECONDS:
            return str(names.STEP_SECONDS[key])
        if key.startswith("titan/"):
            return "torchtitan"
        if key.startswith(names.OWN):
            return "clusterctl"
    return None


def _framework(name: str, rows: Sequence[LogRow], wanted: str | None) -> str:
    found = Counter(of for row in rows if (of := _of(row)))
    if wanted is not None:
        if found and wanted not in found:
            raise SpecError(f"{name}: has no figures of {wanted}, but of {', '.join(sorted(found))}")
        return wanted
    if len(found) > 1:
        said = ", ".join(f"{one} ({count:,} rows)" for one, count in found.most_common())
        raise SpecError(f"{name}: holds figures of {len(found)} frameworks: {said}", hint="--framework NAME takes one")
    if found:
        return next(iter(found))
    return "trl" if any("epoch" in row.values for row in rows) else "json"


def _first(values: Mapping[str, float], keys: Iterable[str]) -> float | None:
    return next((values[key] for key in keys if values.get(key, 0) > 0), None)


def _phases(steps: _Steps, ordered: Sequence[int]) -> tuple[dict[Covers, list[float]], dict[Covers, str]]:
    phases: dict[Covers, list[float]] = {}
    keys: dict[Covers, str] = {}
    for step in ordered:
        seen: set[Covers] = set()
        for key, value in steps.values[step].items():
            covers = (key.removeprefix(names.OWN),) if key.startswith(names.OWN) else names.PHASES.get(key, ("", ()))[1]
            least = names.LEAST_REWARD_SECONDS if covers == ("sandbox",) else 0.0
            if covers and covers not in seen and value > least:
                seen.add(covers)
                phases.setdefault(covers, []).append(value)
                keys.setdefault(covers, key)
    return phases, keys


def _step_seconds(steps: _Steps, bars: _Steps, ordered: Sequence[int]) -> tuple[list[float], str]:
    """Seconds of whole steps, from the best that the log has, and what that is."""
    for key in names.STEP_SECONDS:
        found = [value for step in ordered if (value := steps.values[step].get(key, 0)) > 0]
        if found:
            return found, key
    for key in names.TIMES:
        if found := _between({step: v for step in ordered if (v := steps.values[step].get(key)) is not None}):
            return found, f"{key} between steps"
    if found := _between({step: steps.clocks[step] for step in ordered if step in steps.clocks}):
        return found, "the time of each line"
    if found := _between({step: values[names.ELAPSED] for step, values in bars.values.items()}):
        return found, "the progress bar"
    rate = next((v for step in reversed(ordered) if (v := steps.values[step].get(names.PER_SECOND, 0)) > 0), None)
    return ([1 / rate], names.PER_SECOND) if rate else ([], "")


def _between(ends: Mapping[int, float]) -> list[float]:
    """Seconds per step between the ends of steps that follow each other in the log."""
    order = sorted(ends)
    return [seconds / (b - a) for a, b in pairwise(order) if (seconds := ends[b] - ends[a]) > 0]


def _typical(steps: _Steps, ordered: Sequence[int], keys: Sequence[str]) -> float | None:
    """Median over the steps that count."""
    found = [value for step in ordered if (value := _first(steps.values[step], keys)) is not None]
    return median(found[WARM_UP_STEPS:] if len(found) >= ENOUGH_STEPS else found) if found else None


def _notes(steps: _Steps, broken: Sequence[int], foreign: int, chosen: str) -> tuple[str, ...]:
    found = []
    if broken:
        more = f" and {len(broken) - MOST_LINES_SHOWN} more" if len(broken) > MOST_LINES_SHOWN else ""
        found.append(f"broken, not used: line {', '.join(map(str, broken[:MOST_LINES_SHOWN]))}{more}")
    if steps.repeated:
        found.append(f"{steps.repeated:,} rows repeat a step, as ranks do: the first of each counts")
    if steps.resumed:
        found.append(f"{steps.resumed[-1]}, the run was resumed: what comes later counts")
    if foreign:
        found.append(f"{foreign:,} rows of other frameworks than {chosen}")
    return tuple(found)


def _nothing(name: str, read: Sequence[LogRow], broken: Sequence[int]) -> SpecError:
    if broken and not read:
        return SpecError(f"{name}:{broken[0]}: a step begins but never ends", hint="is the log whole?")
    if read:
        keys = ", ".join(list(read[-1].values)[:4])
        hint = "seconds are timing_s/…, timing/…, step_time, tps, _runtime, a time in each line, or a progress bar"
        return SpecError(f"{name}: no step says what it took; its rows have {keys}", hint=hint)
    return SpecError(f"{name}: has no line with figures of a step", hint="is it the trainer's own output?")
