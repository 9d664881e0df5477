"""`clusterctl calibrate`: what own runs took over their plans, by the ledger or by logs; shown first, then applied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from typer import Option

from clusterctl.errors import SpecError
from clusterctl.frameworks.logs.read_log import read_log
from clusterctl.json_text import json_text
from clusterctl.ledger import open_ledger
from clusterctl.plan_service import Planner, factors_of, open_source
from clusterctl.runs.calibration_list import list_json, list_text
from clusterctl.runs.lessons import apply, learn
from clusterctl.runs.log_lessons import Lesson, kept_lesson, lesson
from clusterctl.runs.log_page import effect_json, log_json, log_text
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
    from_: Annotated[
        list[str] | None,
        Option("--from", metavar="LOG", help="Learn from the log of a past run as from one of your own; repeatable."),
    ] = None,
    plan: Annotated[
        str | None, Option("--plan", "--spec", metavar="FILE", help="Spec or plan of the runs that wrote the logs.")
    ] = None,
    framework: Annotated[str | None, Option(help="Whose figures count, where a log has those of several.")] = None,
    apply_: Annotated[bool, Option("--apply", help="Let plans use the proposed factors.")] = False,
    revert: Annotated[
        str | None, Option(metavar="ID", help="Revert this calibration, or let this log count no more.")
    ] = None,
    listed: Annotated[bool, Option("--list", help="List the calibrations that were applied.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what your ended runs took relative to their plans, as factors for the next plan.

    With --from, also from logs of verl, OpenRLHF, TRL, SkyRL, NeMo RL or torchtitan, of W&B or TensorBoard.
    Nothing is used before --apply.  See docs/calibrate.md.
    """
    if sum((apply_, revert is not None, listed)) > 1:
        raise SpecError("--apply, --revert and --list exclude each other", hint="give one of them")
    lessons = _lessons(from_, plan, framework, is_list=revert is not None or listed)
    with open_ledger() as ledger:
        if revert is not None and not ledger.revoke_lesson(revert):
            ledger.revert_factors(revert)
        if revert is not None or listed:
            rows, known = ledger.factors(), ledger.lessons()
            emit(json_text(list_json(rows, known), indent=2) if as_json else list_text(rows, known))
            return
        logs = [kept_lesson(one, path) for one, path in zip(lessons, from_ or (), strict=True) if one.seen]
        proposed, unused = learn(ledger, logs)
        used = factors_of(ledger.factors(in_use=True))
        if apply_:
            apply(ledger, proposed, logs)
            used = proposed
    if as_json:
        said = {"logs": [log_json(one) for one in lessons], **effect_json(lessons, proposed)} if lessons else {}
        emit(json_text({**_json(proposed, unused, used), **said}, indent=2) + "\n")
        return
    take = "the same command with --apply" if lessons else "clusterctl calibrate --apply"
    emit(log_text(lessons, proposed) + _text(proposed, unused, used, take))


def _lessons(logs: list[str] | None, plan: str | None, framework: str | None, *, is_list: bool) -> list[Lesson]:
    """What each log says about the plan of its run."""
    if not logs:
        if plan is not None or framework is not None:
            raise SpecError("--plan and --framework need --from LOG", hint="they say what that log is of")
        return []
    if is_list:
        raise SpecError("--from excludes --revert and --list", hint="give one of them")
    if plan is None:
        raise SpecError(
            "--from needs --plan FILE: the spec or plan of the run that wrote the log",
            hint="`clusterctl init --from CONFIG` makes one; state its machines under fleet",
        )
    if program := next((path for path in (*logs, plan) if path.endswith(".py")), ""):
        raise SpecError(
            f"{program}: is a Python program, and what it computes is known only when it runs",
            hint="--from takes what a run wrote; `clusterctl init --from` makes a spec of the script that starts it",
        )
    named = None if framework is None else framework.lower()
    source, planner = open_source(plan), Planner(now=datetime.now(UTC))
    found: dict[str, Lesson] = {}
    for number, path in enumerate(logs, 1):
        log = read_log(path, named)
        name = log.name if log.name not in found else f"{log.name}-{number}"
        found[name] = lesson(replace(log, name=name), source, planner)
    return list(found.values())


def _text(proposed: Factors, unused: Sequence[Unused], used: Factors, take: str) -> str:
    screen = terminal()
    lines: list[Line] = draw(COLUMNS, [_row(factor, used) for factor in proposed.rows], screen.columns)
    if not lines:
        lines = [line("no ended run can be used for calibration yet; `clusterctl up SPEC` starts a run")]
    if unused:
        rows = [[cell(text, Style.DIM) for text in (row.run, row.phase, row.reason)] for row in unused]
        lines += [[], *draw(("not counted", "", Column("why", prose=True)), rows, screen.columns)]
    return paint([*lines, [], *_next(proposed, used, take)], colour=screen.colour)


def _next(proposed: Factors, used: Factors, take: str) -> list[Line]:
    """What is in use, and what to type."""
    if proposed and proposed.identity == used.identity:
        undo = Span(f"clusterctl calibrate --revert {used.identity}", Style.COMMAND)
        return [line(f"  in use: {used.identity}; ", undo, " takes it back")]
    said = f"in use: {used.identity}" if used else "in use: nothing of your runs"
    uses = [Span(take, Style.COMMAND), Span(f" uses {proposed.identity}")]
    return [line(f"  {said}", *((Span("; "), *uses) if proposed else ()))]


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
