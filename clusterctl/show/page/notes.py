"""The bottom of the page: warnings, what was assumed and rejected, and what to type next."""

from __future__ import annotations

from clusterctl.show.page.view import View, labelled, labelled_parts
from clusterctl.show.rounding import count
from clusterctl.show.spans import Line, Span, Style, line
from planners.plan.value import Plan


def warnings(plan: Plan, view: View) -> list[Line]:
    """One line per warning."""
    return [
        part for text in plan.warnings for part in labelled("warning", line(Span(text)), view.cells, style=Style.WARN)
    ]


def footer(plan: Plan, view: View) -> list[Line]:
    """Assumptions and rejections with the way to list them, and the other things that a plan can do."""
    rejected = sum(rejection.count for rejection in plan.rejections)
    counted = "; ".join(
        (
            count(len(plan.assumptions), "assumption"),
            count(plan.candidates, "candidate"),
            f"{rejected:,} offers and layouts rejected",
        )
    )
    explain = line(Span(f"{view.command} --explain", Style.COMMAND))
    lines = labelled_parts("based on", [line(counted), explain], view.cells)
    other = next((option.number for option in plan.alternatives if option.number != plan.frontier_chosen), None)
    flags = ["--explain usd", *([f"--pick {other}"] if other else []), "--what-if KEY=VALUE", "--compare FILE"]
    flags += ["--plot FOLDER", "--out plan.json"] + ([] if view.verbose else ["--verbose"])
    return lines + labelled_parts("next", [line(Span(flag, Style.COMMAND)) for flag in flags], view.cells)
