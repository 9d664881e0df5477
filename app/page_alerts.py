"""What needs a person, as Overview shows it: the rules and measurements of `clusterctl alerts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app import alert_links, data
from app.accounts import Money
from app.view import View
from clusterctl.alerts.gather import Asked, failed_since, gather
from clusterctl.alerts.rules_file import load_rules
from clusterctl.errors import SpecError
from clusterctl.ledger.rows import Run
from planners.alerts.alert_facts import Facts, OpenAlert
from planners.alerts.open_alerts import open_alerts
from planners.alerts.rule_settings import AlertRules, Level
from planners.runs.forecast import Forecast

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
    address: dict[str, str]
    """Words of the page's address: the run and the moment."""


class PageAlerts(NamedTuple):
    """What Overview shows."""

    rows: list[PageAlert]
    """The worst first."""
    unknown: tuple[str, ...]
    """What could not be read, so that nobody knows whether all is right there."""


def alerts(view: View, money: Money) -> PageAlerts:
    """Of the chosen run, or of the live ones and those that failed in the window; `info` needs nobody."""
    ledger = data.ledger(view.data)
    chosen = [view.run] if view.run is not None else [*data.live_runs(view.data), *failed_since(ledger, view.start)]
    facts, rules, unread = _facts(view, chosen, {run.run_id: ahead for run, ahead in money.forecasts})
    rows = [_shown(alert, view) for alert in open_alerts(facts, rules) if alert.level != "info"]
    return PageAlerts(rows=rows, unknown=tuple(dict.fromkeys((*unread, *facts.unknown.values()))))


def of_each(view: View, runs: Sequence[Run], forecasts: Mapping[str, Forecast]) -> dict[str, list[OpenAlert]]:
    """The alerts of each of these runs, the worst first."""
    facts, rules, _ = _facts(view, runs, forecasts)
    found: dict[str, list[OpenAlert]] = {run.run_id: [] for run in runs}
    for alert in open_alerts(facts, rules):
        if alert.level != "info" and alert.run in found:
            found[alert.run].append(alert)
    return found


def _facts(
    view: View, runs: Sequence[Run], forecasts: Mapping[str, Forecast]
) -> tuple[Facts, AlertRules, tuple[str, ...]]:
    """What is known of these runs, the rules, and what of the rules can't be read."""
    rules, unread = _rules(view)
    asked = Asked(
        ledger=data.ledger(view.data),
        source=data.store(view.data),
        rules=rules,
        now=view.now,
        since=view.start,
        plan=lambda plan_id: data.plan(view.data, plan_id),
        nodes=lambda run_id: data.machines(view.data, run_id),
        training=lambda run_id: data.reported(view.data, run_id),
        forecasts=forecasts,
    )
    return gather(asked, runs), rules, unread


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
    address = alert_links.address(view, alert)
    return PageAlert(level=alert.level, text=f"{about}: {alert.text}", page=page, address=address)
