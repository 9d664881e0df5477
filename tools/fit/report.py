"""docs/ACCURACY.md: measured errors around a fixed text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import numpy as np

from planners.physics.constants import PRIORS
from tools.fit.bands import SCORED, class_of
from tools.fit.rankings import rankings_table
from tools.fit.solve import publishers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planners.physics.calibration import Calibration
    from planners.validation.prepare import Prepared
    from tools.fit.problem import Array, Problem

TEXT = Path(__file__).with_name("accuracy.md.in")
KINDS = ("rl_step", "rl_run", "pretrain", "sft", "generate", "evaluate", "sandbox")


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """Everything that the page and the plots show; arrays have one entry per case, in ln."""

    problem: Problem
    calibration: Calibration
    variance: Array
    """From the constants, and from what cases of other publishers have not."""
    mode: Array
    spread: Array
    in_sample: Array
    by_family: Array
    by_publisher: Array
    serving_left_out: dict[str, Array]
    """By what was left out: ln predictions of the serving points, NaN for other cases."""

    def rows(self, kind: str, quality: str) -> NDArray[np.bool_]:
        """Cases of a kind and quality that have a prediction."""
        cases = [p.case for p in self.problem.prepared]
        chosen = np.array([c.kind == kind and c.quality == quality for c in cases])
        return chosen & np.isfinite(self.in_sample)

    @cached_property
    def half_widths(self) -> Array:
        """Half 80% bands in ln, per case."""
        each = zip(self.problem.prepared, self.variance, strict=True)
        return np.array([float(self.calibration.half_width(p.case.kind, v, p.missing_variance)) for p, v in each])


def accuracy_page(results: Results) -> str:
    """The page as Markdown."""
    return Template(TEXT.read_text("utf-8")).substitute(
        measured=_measured_table(results),
        serving=_left_out_serving_table(results),
        scores=_score_table(results),
        rankings=rankings_table(results.calibration),
        fitted=_constant_table(results, fitted=True),
        held=_constant_table(results, fitted=False),
        identity=results.calibration.identity,
        used=int(np.sum(results.problem.weights > 0)),
    )


def _measured_table(results: Results) -> str:
    lines = [
        "| kind | quality | cases | families | family left out: median, p90 | publisher left out: median, p90 "
        "| bias | 80% band covers: figures, families | in sample: median, p90 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    serving = np.array([is_serving(p) for p in results.problem.prepared])
    for kind in KINDS:
        for quality in ("full", "partial"):
            rows = results.rows(kind, quality)
            lines += _measured_row(results, rows & ~serving, kind, quality)
            lines += _measured_row(results, rows & serving, f"{kind}, serving points", quality)
    return "\n".join(lines)


def is_serving(p: Prepared) -> bool:
    """Is the case one of the measured serving points?"""
    return publishers(p.case.family) == "silicon"


def _measured_row(results: Results, rows: NDArray[np.bool_], kind: str, quality: str) -> list[str]:
    if not np.any(rows):
        return []
    families = np.array([p.case.family or "" for p in results.problem.prepared])[rows]
    logs = results.by_publisher[rows] - results.problem.published[rows]
    inside = np.abs(logs) <= results.half_widths[rows]
    by_family = np.mean([inside[families == family].mean() for family in set(families)])
    cells = [
        kind,
        quality,
        str(int(rows.sum())),
        str(len(set(families))),
        _errors(results, results.by_family, rows),
        _errors(results, results.by_publisher, rows),
        f"{np.exp(np.median(logs)):.2f}",
        f"{inside.mean():.2f}, {by_family:.2f}",
        _errors(results, results.in_sample, rows),
    ]
    return ["| " + " | ".join(cells) + " |"]


def _left_out_serving_table(results: Results) -> str:
    """Serving points by constants that never saw their engine, or their GPU."""
    lines = ["| left out | points | median, p90 |", "| --- | --- | --- |"]
    for name, out in results.serving_left_out.items():
        lines.append(f"| {name} | {int(np.isfinite(out).sum())} | {_errors(results, out, np.isfinite(out))} |")
    return "\n".join(lines)


def _errors(results: Results, logs: Array, rows: NDArray[np.bool_]) -> str:
    errors = np.abs(np.exp(logs[rows] - results.problem.published[rows]) - 1)
    return f"{np.median(errors):.3f}, {np.quantile(errors, 0.9):.2f}"


def _score_table(results: Results) -> str:
    lines = ["| kind | typical 80% band | score |", "| --- | --- | --- |"]
    kinds = np.array([class_of(p.case.kind) for p in results.problem.prepared])
    full = np.array([p.case.quality == "full" for p in results.problem.prepared])
    for kind in SCORED:
        typical = float(np.exp(np.median(results.half_widths[full & (kinds == kind)])))
        lines.append(f"| {kind} | x/÷ {typical:.2f} | {results.calibration.scores[kind]:.2f} |")
    return "\n".join(lines)


def _constant_table(results: Results, *, fitted: bool) -> str:
    lines = ["| constant | meaning | unit | prior | used | 80% range |", "| --- | --- | --- | --- | --- | --- |"]
    deviations = np.sqrt(np.diag(results.spread))
    for prior, value, deviation in zip(PRIORS, np.exp(results.mode), deviations, strict=True):
        if prior.fitted != fitted:
            continue
        width = np.exp(1.2816 * deviation)
        cells = [
            f"`{prior.name}`",
            f"{prior.meaning} ({prior.source})",
            prior.unit,
            f"{prior.value:.3g}",
            f"{value:.3g}",
            f"{value / width:.2g} to {value * width:.2g}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
