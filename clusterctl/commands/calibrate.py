"""`clusterctl calibrate`: what own runs took over their plans; shown first, then applied, revertible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

from typer import Option

from clusterctl.errors import SpecError
from clusterctl.json_text import json_text
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import FactorRow
from clusterctl.plan_service import factors_of
from clusterctl.runs.lessons import apply, learn
from clusterctl.ui.spans import Line, Span, Style, line, paint
from clusterctl.ui.streams import emit
from clusterctl.ui.table import Cell, Column, cell, draw, right
from clusterctl.ui.terminal import terminal
from planners.learn.observe import Unused
from planners.physics.calibration import Z80
from planners.workload.factors import ANY_GPU, Factor, Factors

COLUMNS = (
    "phase",
    Column("where", prose=True),
    right("runs"),
    right("actual/planned"),
    right("in use"),
    right("proposed"),
    right("80% of runs"),
)


def calibrate(
    *,
    apply_: Annotated[bool, Option("--apply", help="Let plans use the proposed factors.")] = False,
    revert: Annotated[
        str | None, Option(metavar="ID", help="Revert this calibration; the one before it is used again.")
    ] = None,
    listed: Annotated[bool, Option("--list", help="List the calibrations that were applied.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what your ended runs took relative to their plans, as factors for the next plan.

    Nothing is used before --apply.  See docs/calibrate.md.
    """
    if sum((apply_, revert is not None, listed)) > 1:
        raise SpecError("--apply, --revert and --list exclude each other", hint="give one of them")
    with open_ledger() as ledger:
        if revert is not None:
            ledger.revert_factors(revert)
        if revert is not None or listed:
            rows = ledger.factors()
            emit(json_text(_list_json(rows), indent=2) if as_json else _list_text(rows))
            return
        proposed, unused = learn(ledger)
        used = factors_of(ledger.factors(in_use=True))
        if apply_:
            apply(ledger, proposed)
            used = proposed
    emit(json_text(_json(proposed, unused, used), indent=2) + "\n" if as_json else _text(proposed, unused, used))


def _text(proposed: Factors, unused: Sequence[Unused], used: Factors) -> str:
    screen = terminal()
    lines: list[Line] = draw(COLUMNS, [_row(factor, used) for factor in proposed.rows], screen.columns)
    if not lines:
        lines = [line("no ended run can be used for calibration yet; `clusterctl up SPEC` starts a run")]
    if unused:
        rows = [[cell(text, Style.DIM) for text in (row.run, row.phase, row.reason)] for row in unused]
        lines += [[], *draw(("not counted", "", Column("why", prose=True)), rows, screen.columns)]
    return paint([*lines, [], *_next(proposed, used)], colour=screen.colour)


def _next(proposed: Factors, used: Factors) -> list[Line]:
    """What is in use, and what to type."""
    if proposed and proposed.identity == used.identity:
        undo = Span(f"clusterctl calibrate --revert {used.identity}", Style.COMMAND)
        return [line(f"  in use: {used.identity}; ", undo, " takes it back")]
    said = f"in use: {used.identity}" if used else "in use: nothing of your runs"
    take = [Span("clusterctl calibrate --apply", Style.COMMAND), Span(f" uses {proposed.identity}")]
    return [line(f"  {said}", *((Span("; "), *take) if proposed else ()))]


def _where(factor: Factor) -> str:
    place = factor.place
    gpu = "other GPUs" if factor.gpu == ANY_GPU else factor.gpu
    parts = [place.model_class, gpu, place.engine, place.sandbox_profile, place.inputs]
    return ", ".join(part for part in parts if part)


def _row(factor: Factor, used: Factors) -> list[Cell]:
    ratios = sorted(factor.ratios.values())
    spread = f"{ratios[0]:.2f}–{ratios[-1]:.2f}" if len(ratios) > 1 else f"{ratios[0]:.2f}"
    now = used.by_gpu(factor.place).get(factor.gpu)
    half = Z80 * factor.log_sd
    low, high = math.exp(factor.log_factor - half), math.exp(factor.log_factor + half)
    in_use = "-" if now is None else f"× {math.exp(now.log_factor):.2f}"
    proposed = cell(f"× {math.exp(factor.log_factor):.2f}", Style.STRONG)
    about: list[Cell] = [factor.place.phase, _where(factor), str(len(ratios)), spread]
    return [*about, in_use, proposed, f"{low:.2f}–{high:.2f}"]


def _json(proposed: Factors, unused: Sequence[Unused], used: Factors) -> dict[str, Any]:
    return {
        "in_use": used.identity or None,
        "proposed": proposed.identity or None,
        "factors": [
            {
                **factor.place._asdict(),
                "gpu": factor.gpu,
                "factor": math.exp(factor.log_factor),
                "log_sd": factor.log_sd,
                "actual_over_planned": dict(factor.ratios),
            }
            for factor in proposed.rows
        ],
        "not_counted": [row._asdict() for row in unused],
    }


def _calibrations(rows: tuple[FactorRow, ...]) -> list[tuple[FactorRow, int, str]]:
    """(a row, runs, state) of each calibration, the last applied first."""
    found: dict[str, list[FactorRow]] = {}
    for row in rows:
        found.setdefault(row.calibration_id, []).append(row)
    kept = next((identity for identity, some in found.items() if some[0].reverted_at is None), None)
    states = {
        identity: "in use" if identity == kept else "reverted" if some[0].reverted_at else "replaced"
        for identity, some in found.items()
    }
    return [(some[0], len({run for row in some for run in row.ratios}), states[i]) for i, some in found.items()]


def _list_json(rows: tuple[FactorRow, ...]) -> list[dict[str, Any]]:
    return [
        {"calibration": row.calibration_id, "applied_at": row.applied_at.isoformat(), "runs": runs, "state": state}
        for row, runs, state in _calibrations(rows)
    ]


def _list_text(rows: tuple[FactorRow, ...]) -> str:
    screen = terminal()
    table = [
        [row.calibration_id, f"{row.applied_at:%Y-%m-%d %H:%M} UTC", str(runs), state]
        for row, runs, state in _calibrations(rows)
    ]
    columns = ("calibration", "applied", right("runs"), "")
    return paint(draw(columns, table, screen.columns) or [line("nothing was applied yet")], colour=screen.colour)
