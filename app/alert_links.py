"""Where an alert leads: the page, the run, and the moment in its pictures."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import polars as pl

from app import data, measurements
from app.time_links import range_words
from app.view import View
from planners.alerts.alert_facts import OpenAlert
from planners.alerts.check import Alert

NEAR_STEPS = 25
"""Steps before and after the one that is looked at."""
AROUND = timedelta(minutes=30)
"""Of time, before and after the moment of an alert."""
NOTES = {"gpu_lost": "lost", "xid": "xid"}
"""Rule → kind of the note of an agent that it is about."""


def address(view: View, alert: OpenAlert) -> dict[str, str]:
    """The words of the address that differ from those of the page with the alert."""
    words = {} if alert.run is None else {"run": alert.run}
    if alert.rule == "training" and alert.run is not None:
        return words | _since_step(view, alert.run, alert.key)
    if alert.rule in NOTES:
        notes = measurements.standing(view, "notes").filter(kind=NOTES[alert.rule], node=alert.about)
        last = notes["at"].max()
        moment = range_words(last - AROUND, last + AROUND) if isinstance(last, datetime) else {}
        return words | moment | {"node": alert.about}
    return words


def _since_step(view: View, run: str, key: str) -> dict[str, str]:
    for warning in data.reported(view.data, run):
        if key.endswith(f":{warning.stage}:{warning.kind}"):
            return {"step": str(warning.since_step)} | _time_of(view, run, warning)
    return {}


def _time_of(view: View, run: str, warning: Alert) -> dict[str, str]:
    """The time of the steps near the one that a warning is since."""
    rows = [step for step in data.steps(view.data, run) if step.stage == warning.stage]
    near = [step.at for step in rows if abs(step.step - warning.since_step) <= NEAR_STEPS]
    return range_words(min(near), max(near)) if len(near) > 1 else {}


def marks(view: View, frame: pl.DataFrame, metrics: Iterable[str]) -> dict[int, str]:
    """Steps of the frame since which a warning about one of the metrics holds → its words."""
    if view.run is None:
        return {}
    shown, steps = set(metrics), set(frame["step"])
    found = data.reported(view.data, view.run.run_id)
    return {
        alert.since_step: f"{alert.kind} since step {alert.since_step}"
        for alert in found
        if alert.since_step in steps and shown & set(alert.numbers)
    }
