"""What needs a person, as Overview shows it: the rules and measurements of `clusterctl alerts`."""

from __future__ import annotations

from typing import NamedTuple

from app import data
from app.accounts import Money
from app.view import View
from clusterctl.alerts.gather import Asked, failed_since, gather
from clusterctl.alerts.rules_file import load_rules
from clusterctl.errors import SpecError
from planners.alerts.alert_facts import OpenAlert
from planners.alerts.open_alerts import open_alerts
from planners.alerts.rule_settings import AlertRules, Level

PAGES = {
    "failed": "plan",
    "stalled": "pipeline",
    "over_plan": "plan",
    "idle": "gpus",
    "budget": "allocation",
    "budget_forecast": "plan",
    "unpriced": "quality",
    "orphan": "orphans",
    "gpu_lost": "gpus",
    "xid": "gpus",
    "no_telemetry": "quality",
    "training": "pipeline",
}
"""The page that shows more, by rule."""
PAGES_OF_TRAINING = {"collapse": "outcomes", "sandbox": "sandboxes"}
"""... by the kind of a warning of the training, where that is another."""


class PageAlert(NamedTuple):
    level: Level
    text: str
    page: str
    """Name of the page's file."""


class PageAlerts(NamedTuple):
    """What Overview shows."""

    rows: list[PageAlert]
    """The worst first."""
    unknown: tuple[str, ...]
    """What could not be read, so that nobody knows whether all is right there."""


def alerts(view: View, money: Money) -> PageAlerts:
    """Of the chosen run, or of the live ones and those that failed in the window; `info` needs nobody."""
    rules, unread = _rules(view)
    ledger = data.ledger(view.data)
    chosen = [view.run] if view.run is not None else [*data.live_runs(view.data), *failed_since(ledger, view.start)]
    asked = Asked(
        ledger=ledger,
        source=data.store(view.data),
        rules=rules,
        now=view.now,
        since=view.start,
        plan=lambda plan_id: data.plan(view.data, plan_id),
        nodes=lambda run_id: data.machines(view.data, run_id),
        training=lambda run_id: data.reported(view.data, run_id),
        forecasts={run.run_id: ahead for run, ahead in money.forecasts},
    )
    facts = gather(asked, chosen)
    rows = [_shown(alert, view) for alert in open_alerts(facts, rules) if alert.level != "info"]
    return PageAlerts(rows=rows, unknown=tuple(dict.fromkeys((*unread, *facts.unknown.values()))))


def _rules(view: View) -> tuple[AlertRules, tuple[str, ...]]:
    """Of the file of alerts; each rule as it is for the simulated day, and where the file is wrong, which is said."""
    if view.simulated:
        return AlertRules(), ()
    try:
        return load_rules().rules, ()
    except SpecError as error:
        return AlertRules(), (error.message,)


def _shown(alert: OpenAlert, view: View) -> PageAlert:
    about = "this run" if view.run is not None and alert.run == view.run.run_id else alert.about
    kind = alert.key.rpartition(":")[2] if alert.rule == "training" else ""
    page = PAGES_OF_TRAINING.get(kind, PAGES[alert.rule])
    return PageAlert(level=alert.level, text=f"{about}: {alert.text}", page=page)
