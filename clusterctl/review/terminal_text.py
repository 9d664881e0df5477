"""A review for the terminal: the same order as the comment, with the tables of every other command."""

from __future__ import annotations

from collections.abc import Sequence

from clusterctl.review import finding_blocks, run_blocks
from clusterctl.review.resource_blocks import type_words, unknown_reasons, what_changes
from clusterctl.review.totals import UsdChange, ceiling_usd_per_month, is_planned, resource_moves, runs_usd, spec_usd
from clusterctl.review.value import Finding, InfrastructureChange, Review, SpecChange
from clusterctl.review.verdict import headline, status
from clusterctl.ui import formats
from clusterctl.ui.difference import gpu_hours
from clusterctl.ui.spans import Line, Span, Style, better, line, paint, stacked, wrap
from clusterctl.ui.table import Cell, Column, cell, draw, right
from clusterctl.ui.terminal import Terminal
from planners.infrastructure.value import ResourceChange

MOST_RESOURCES = 40


def text(review: Review, terminal: Terminal) -> str:
    """The page."""
    cells = terminal.columns
    top = wrap(line(Span(f"{headline(review)}.", Style.STRONG)), cells, indent=2)
    for sentence in status(review):
        top += wrap(line(Span(sentence, Style.WARN)), cells, indent=2)
    sections = [top, _runs(review.specs, cells), _notes(review.specs, cells), _drivers(review.specs, cells)]
    if review.infrastructure is not None and review.infrastructure.changes:
        sections.append(_resources(review.infrastructure, cells))
    sections += [_findings(review.findings, cells), _lines(review.notes, cells)]
    return paint(stacked(sections), colour=terminal.colour)


def _lines(texts: Sequence[str], cells: int) -> list[Line]:
    return [wrapped for one in texts for wrapped in wrap(line(f"  {one}"), cells, indent=4)]


def _runs(specs: Sequence[SpecChange], cells: int) -> list[Line]:
    titles = (
        Column("run"),
        right("baseline"),
        right("new (P50)"),
        right("P10–P90", drop=3),
        right("Δ$"),
        right("Δ%", drop=1),
    )
    columns = (*titles, right("GPU-h", drop=4), right("$/h", drop=5), right("time", drop=2))
    rows = [_run(spec) for spec in run_blocks.ordered(specs)]
    if sum(map(is_planned, specs)) > 1:
        total = runs_usd(specs)
        rows.append([cell("all with a plan", Style.STRONG), *_ends(total), "", *_changes(total), "", "", ""])
    return draw(columns, rows, cells)


def _ends(usd: UsdChange) -> list[Cell]:
    before = formats.least_usd(usd.before, at_least=usd.before_at_least)
    return [before, cell(formats.least_usd(usd.after, at_least=usd.after_at_least), Style.STRONG)]


def _changes(usd: UsdChange) -> list[Cell]:
    money = formats.signed_usd(usd.known_usd)
    share = "" if usd.ratio is None or usd.is_same else formats.signed_percent(usd.ratio)
    return [cell(f"at least {money}" if usd.change_at_least else money, better(usd.known_usd)), share]


def _run(spec: SpecChange) -> list[Cell]:
    usd, after = spec_usd(spec), spec.after
    before, new = _ends(usd)
    if spec.before is None:
        before = "none" if spec.status == "added" else "no plan"
    if spec.status == "removed":
        new = "removed"
    elif after is None or spec.is_infeasible:
        new = cell("not feasible" if spec.is_infeasible else "can't be planned", Style.BAD)
    if after is None:
        return [spec.path, before, new, "", *(_changes(usd) if spec.status == "removed" else ("", "")), "", "", ""]
    band = formats.usd_band(after.usd, at_least=after.at_least)[1].strip("()")
    burn = formats.least_usd(after.known_usd_per_hour, at_least=after.usd_per_hour is None)
    figures = [formats.number(gpu_hours(after)), burn, formats.hours(after.hours.p50)]
    return [spec.path, before, new, band, *_changes(usd), *figures]


def _notes(specs: Sequence[SpecChange], cells: int) -> list[Line]:
    texts = []
    for spec in run_blocks.ordered(specs):
        at = f":{spec.problem_line}" if spec.problem_line else ""
        texts += [f"{spec.path}{at}: {run_blocks.in_one_line(spec.problem)}"] if spec.problem else []
        texts += (
            [f"{spec.path} at the base: {run_blocks.in_one_line(spec.problem_before)}"] if spec.problem_before else []
        )
        texts += [f"{spec.path} reads {', '.join(spec.reached_by)}, which changed"] if spec.reached_by else []
        effect = run_blocks.sandbox_effect(spec)
        texts += [f"{spec.path}: {effect}"] if effect else []
        if spec.usd_price_drift is not None:
            drift = formats.signed_usd(spec.usd_price_drift)
            texts.append(f"{spec.path}: prices alone moved its baseline by {drift} since it was planned")
    return _lines(texts, cells)


def _drivers(specs: Sequence[SpecChange], cells: int) -> list[Line]:
    rows: list[list[Cell]] = [
        [spec.path, driver.field, f"{driver.before} → {driver.after}", formats.signed_usd(driver.usd_change)]
        for spec in run_blocks.ordered(specs)
        for driver in spec.drivers
    ]
    return draw((Column("why"), Column("input"), Column("change", prose=True), right("Δ$ alone")), rows, cells)


def _resources(found: InfrastructureChange, cells: int) -> list[Line]:
    moves = resource_moves(found)
    columns = (Column("resource"), Column("type", drop=2), Column("change", drop=1), right("before"), right("a month"))
    rows = [_resource(change, usd) for change, usd in moves.moved[:MOST_RESOURCES]]
    if len(moves.moved) > MOST_RESOURCES:
        rows.append([f"{len(moves.moved) - MOST_RESOURCES:,} more: --json", "", "", "", "", ""])
    rows.append([cell("all resources", Style.STRONG), "", "", *_ends(moves.total), _changes(moves.total)[0]])
    lines = draw((*columns, right("Δ$")), rows, cells)
    texts = []
    ceiling = ceiling_usd_per_month(found)
    if ceiling is not None:
        amount = formats.least_usd(ceiling[0], at_least=ceiling[1])
        texts.append(f"autoscaling may raise all resources to {amount} a month")
    unknown = [
        f"not known: {change.resource.name}: {why}" for change, _ in moves.moved for why in unknown_reasons(change)
    ]
    return lines + _lines([*texts, *unknown[:MOST_RESOURCES], *found.notes], cells)


def _resource(change: ResourceChange, usd: UsdChange) -> list[Cell]:
    ends = _ends(usd)
    money = ["" if change.before is None else ends[0], "" if change.after is None else ends[1], _changes(usd)[0]]
    return [change.resource.name, type_words(change.resource), what_changes(change), *money]


def _findings(findings: Sequence[Finding], cells: int) -> list[Line]:
    rows: list[list[Cell]] = []
    for found in finding_blocks.ordered(findings):
        bad = found.level == "mandatory" and found.silence is None
        level = cell(finding_blocks.level_words(found), Style.BAD if bad else Style.WARN)
        silence = "" if found.silence is None else f" (silenced: {found.silence.reason})"
        rows.append([level, found.rule, finding_blocks.place(found), f"{found.message}{silence}"])
    return draw((Column("finding"), Column("rule"), Column("at"), Column("", prose=True)), rows, cells)
