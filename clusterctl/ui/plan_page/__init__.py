"""The terminal page of a plan: what fleet, how long, how much, how sure, in ten seconds; then why, then what else.

Sections are functions from a plan to lines; a section with nothing to say is empty.  Nothing here reads or computes:
every number is the plan's, rounded.
"""

from __future__ import annotations

from clusterctl.ui.plan_page.alternatives import alternatives, footer, sensitivity
from clusterctl.ui.plan_page.bill import bill, unpriced
from clusterctl.ui.plan_page.context import PageContext
from clusterctl.ui.plan_page.phases import stages_and_phases
from clusterctl.ui.plan_page.pools import pools
from clusterctl.ui.plan_page.summary import choice, header, warnings
from clusterctl.ui.spans import paint, stacked
from clusterctl.ui.terminal import Terminal
from planners.plan.value import Plan

SECTIONS = (header, choice, pools, stages_and_phases, bill, unpriced, alternatives, sensitivity, warnings, footer)
MAX_CELLS = 160
"""Lines longer than this are hard to follow with the eye; wider terminals keep a margin."""


def render_page(plan: Plan, terminal: Terminal, *, source: str, verbose: bool = False) -> str:
    """The page as text.  `source` is the file as the person typed it; `verbose` unfolds what is folded."""
    page = PageContext(source=source, cells=min(terminal.columns, MAX_CELLS), verbose=verbose)
    at_the_top = () if plan.feasible else (warnings,)
    sections = [section(plan, page) for section in SECTIONS if section not in at_the_top]
    return paint(stacked(sections), colour=terminal.colour)
