"""The table of runs as HTML: each run's name is a link to its page, and on a phone its dollars stay on the screen.

Everything that comes from elsewhere is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from urllib.parse import urlencode

from app import ui
from app.run_rows import RunRow
from clusterctl.ledger.rows import LIVE, Run
from clusterctl.ui import formats
from clusterctl.ui.formats import UNKNOWN

CSS = Path(__file__).with_name("run_table.css").read_text("utf-8")
STATES = {
    "running": ("good", "▶"),
    "finished": ("good", "✓"),
    "failed": ("bad", "✕"),
    "stopped": ("warn", "■"),
    "stopping": ("warn", "■"),
}
"""State -> class of its colour, and the sign that says the same without colour; others wait."""
WAITS = ("dim", "…")
NOTHING = '<span class="dim">–</span>'


def table(rows: Sequence[RunRow], now: datetime, query: Mapping[str, str]) -> str:
    """The rows as HTML.  query: what else of the address the links keep."""
    titles = ui.LABELS["run_table"]
    heads = "".join(
        f'<th scope="col" class="{said["class"]}" title="{escape(said["help"])}">{escape(said["title"])}</th>'
        for said in titles.values()
    )
    lines = []
    for row in rows:
        cells = _cells(row, now, query)
        lines.append("".join(f'<td class="{titles[name]["class"]}">{cells[name]}</td>' for name in titles))
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<style>{CSS}</style><table class="runs"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'


def state_text(run: Run) -> str:
    """`✕ failed`, in its colour."""
    colour, sign = STATES.get(run.state, WAITS)
    return f'<span class="{colour} nowrap">{sign} {run.state}</span>'


def reason(row: RunRow) -> str:
    """Why it failed or was stopped, or why its plan can't be read."""
    note = row.run.note if row.run.state in {"failed", "stopped"} else ""
    if row.run.state == "failed" and not note:
        note = "nobody has recorded why"
    return note.removeprefix(f"{row.run.state}: ") or row.problem


def _cells(row: RunRow, now: datetime, query: Mapping[str, str]) -> dict[str, str]:
    run, ahead = row.run, row.ahead
    link = f"run?{urlencode({**query, 'run': run.run_id})}"
    name = f'<a href="{escape(link)}" target="_self">{escape(run.run_id)}</a>'
    name += f'<span class="narrow">{state_text(run)}</span>'
    if why := reason(row):
        name += f'<div class="below {"bad" if run.state == "failed" else "warn"}">{escape(why)}</div>'
    return {
        "run": name,
        "state": state_text(run),
        "owner": _label(run, "owner"),
        "team": _label(run, "team"),
        "started": escape(ui.clock(run.started_at, now)) if run.started_at else NOTHING,
        "duration": formats.elapsed(row.seconds) if row.seconds is not None else NOTHING,
        "progress": _progress(row),
        "spent": _dollars(ui.at_least(ahead.spent.usd, ahead.spent.known_usd)),
        "at_end": _at_end(row),
        "idle": formats.percent(row.idle_share) if row.idle_share is not None else NOTHING,
        "alerts": _alerts(row),
    }


def _label(run: Run, name: str) -> str:
    return escape(run.labels[name]) if run.labels.get(name) else NOTHING


def _progress(row: RunRow) -> str:
    step, steps = row.done
    if not steps:
        return NOTHING
    return f'{formats.percent(step / steps)}<div class="below dim">{step:,} of {steps:,}</div>'


def _at_end(row: RunRow) -> str:
    """What it has cost, once it has ended; unknown without a plan."""
    ahead = row.ahead
    if row.run.state not in LIVE:
        return _dollars(ui.at_least(ahead.spent.usd, ahead.spent.known_usd))
    known = ahead.known_usd_at_end
    return _dollars(UNKNOWN if known is None else ui.at_least(ahead.usd_at_end, known))


def _dollars(text: str) -> str:
    """`at least` stands above the amount: the column stays narrow."""
    least = "at least "
    if text == UNKNOWN:
        return f'<span class="warn">{UNKNOWN}</span>'
    return f'<div class="below dim">{least}</div>{text.removeprefix(least)}' if text.startswith(least) else text


def _alerts(row: RunRow) -> str:
    if not row.alerts:
        return NOTHING
    level = "bad" if any(alert.level == "bad" for alert in row.alerts) else "warn"
    said = escape("\n".join(alert.text for alert in row.alerts))
    return f'<span class="{level}" title="{said}">▲ {len(row.alerts)}</span>'
