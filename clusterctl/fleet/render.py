"""A preview and a drift as people read them: one line a resource, dollars by the hour, the sum below."""

from __future__ import annotations

from clusterctl.fleet.preview import FleetDrift, FleetPreview, FleetStep, by_cost
from clusterctl.ui.formats import UNKNOWN, count, least_usd, signed_usd, usd
from clusterctl.ui.table import Column, draw_text, right
from clusterctl.ui.terminal import Terminal

SIGNS = {"create": "+", "update": "~", "replace": "+-", "delete": "-", "import": "=", "same": " "}
"""Pulumi's own."""
NOTHING = "nothing would change"


def preview_text(preview: FleetPreview, terminal: Terminal) -> str:
    """The table of what `up` would do; what stays as it is is counted."""
    if not preview.changes:
        return f"{NOTHING}: {count(len(preview.steps), 'resource')}, {_total(preview)}"
    lines = [_table(preview.changes, terminal), f"{counts_text(preview)}; {_total(preview)}"]
    if preview.nodes_usd_per_hour is not None:
        lines.append(f"nodes, once the run's supervisor asks for them: {usd(preview.nodes_usd_per_hour)}/h")
    return "\n".join(lines)


def drift_text(drift: FleetDrift, terminal: Terminal) -> str:
    """The table of what the cloud has otherwise than the state."""
    if not drift.changes:
        return f"no drift: {count(len(drift.steps), 'resource')} as the state says"
    change = signed_usd(drift.usd_per_hour_change)
    if any(step.usd_per_hour is None for step in drift.changes):
        change = f"{change}, and what has no price"
    return "\n".join(
        [_table(drift.changes, terminal), f"{count(len(drift.changes), 'resource')} of {len(drift.steps)}: {change}/h"]
    )


def _table(steps: tuple[FleetStep, ...], terminal: Terminal) -> str:
    rows = []
    for step in by_cost(steps):
        what = ", ".join(step.changed[:3]) + (" …" if len(step.changed) > 3 else "")
        rows.append([SIGNS.get(step.op, step.op), _short(step.type), step.name, _price(step), step.why_unknown or what])
    columns = ("", "type", "name", right("$/h"), Column("", drop=1))
    return draw_text(columns, rows, terminal).rstrip("\n")


def _price(step: FleetStep) -> str:
    """Of what comes, and of what goes with its sign."""
    if step.op == "delete":
        return UNKNOWN if step.usd_per_hour_before is None else signed_usd(-step.usd_per_hour_before)
    if step.usd_per_hour is None:
        return UNKNOWN
    return least_usd(step.usd_per_hour, at_least=bool(step.why_unknown))


def _short(kind: str) -> str:
    """`aws:eks/nodeGroup:NodeGroup` as `aws eks NodeGroup`."""
    package, _, rest = kind.partition(":")
    return f"{package} {rest.partition('/')[0].partition(':')[0]} {kind.rpartition(':')[2]}"


def counts_text(preview: FleetPreview) -> str:
    """`3 to make, 2 to change, 40 as is`."""
    words = {
        "create": "to make",
        "update": "to change",
        "replace": "to replace",
        "delete": "to remove",
        "same": "as is",
    }
    counts = preview.counts
    return ", ".join(f"{counts[op]} {word}" for op, word in words.items() if counts.get(op))


def _total(preview: FleetPreview) -> str:
    """By the hour, and for the hours of the plan."""
    by_hour = f"{least_usd(preview.usd_per_hour, at_least=bool(preview.unpriced))}/h"
    if preview.usd_of_run is None or not preview.usd_of_run:
        return by_hour
    return f"{by_hour}, {least_usd(preview.usd_of_run, at_least=bool(preview.unpriced))} for the run"
