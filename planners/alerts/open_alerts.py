"""From what is known of runs, money and GPUs to what needs a person: one function per rule, for all who tell of it.

The dashboard's Overview, `clusterctl alerts` and what it sends ask here.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from planners.alerts.alert_facts import Facts, HardwareFacts, LeftoverFacts, OpenAlert, RunFacts
from planners.alerts.rule_settings import BUDGET_WARNS_FROM, LEVELS, RULE_NAMES, AlertRules
from planners.runs.limits import STALLED_SHARE

SILENT_INTERVALS = 3
"""Measurements that may be missing before telemetry counts as silent.  Our convention."""
NOUNS = {"gpu_lost": ("GPU was lost", "GPUs were lost"), "xid": ("Xid error", "Xid errors")}
"""One, several."""


def open_alerts(facts: Facts, rules: AlertRules) -> tuple[OpenAlert, ...]:
    """All of them, the worst first."""
    found = [alert for run in facts.runs for alert in _of_run(run, rules)]
    found += [_orphan(leftover) for leftover in facts.leftovers]
    found += [_hardware(note) for note in facts.hardware]
    kept = [_levelled(alert, rules) for alert in found if rules.of(alert.rule).enabled]
    return tuple(sorted(kept, key=lambda alert: (LEVELS.index(alert.level), RULE_NAMES.index(alert.rule), alert.key)))


def _levelled(alert: OpenAlert, rules: AlertRules) -> OpenAlert:
    level = rules.of(alert.rule).level
    return alert if level is None else replace(alert, level=level)


def _of_run(run: RunFacts, rules: AlertRules) -> Iterator[OpenAlert]:
    if run.failed:
        text = "has failed" + (f": {run.note.removeprefix('failed: ')}" if run.note else "")
        yield _about(run, "failed", "bad", text, fix=f"clusterctl status {run.run}")
    yield from _over_plan(run)
    if not run.is_live:
        return
    yield from _budget(run, rules)
    yield from _budget_forecast(run)
    yield from _unpriced(run)
    yield from _stalled(run, rules)
    yield from _gpus(run, rules)
    for alert in run.training:
        text = f"{alert.kind} since step {alert.since_step}: {alert.sentence}"
        yield _about(run, "training", alert.level, text, fix=alert.advice, detail=f"{alert.stage}:{alert.kind}")


def _about(
    run: RunFacts, rule: str, level: str, text: str, *, fix: str = "", detail: str = "", step: int = 0
) -> OpenAlert:
    return OpenAlert(
        key=":".join(filter(None, (rule, run.run, detail))),
        rule=rule,
        level=level,  # type: ignore[arg-type]
        about=run.run,
        text=text,
        fix=fix,
        run=run.run,
        step=step,
    )


def _over_plan(run: RunFacts) -> Iterator[OpenAlert]:
    """Whether a run costs, or has cost, more than nine of ten runs of its plan would."""
    ahead, planned = run.ahead, run.planned_usd
    if ahead is None or planned is None or planned.p50 <= 0:
        return
    known = ahead.known_usd_at_end if run.is_live else None
    usd = float(known if known is not None else ahead.spent.known_usd)
    if usd > planned.p90:
        will = "will cost" if run.is_live else "has cost"
        text = f"{will} {_usd(usd)}, {usd / planned.p50:.1f} x its planned {_usd(planned.p50)}"
        yield _about(run, "over_plan", "bad", text, fix=f"clusterctl cost {run.run} --explain")


def _budget(run: RunFacts, rules: AlertRules) -> Iterator[OpenAlert]:
    """The highest of the rule's percents that each limit has reached."""
    if run.ahead is None:
        return
    spent, limits = run.ahead.spent, run.ahead.limits
    used = {"usd": (spent.known_usd, limits.usd), "hours": (spent.hours, limits.hours)}
    for name, (amount, limit) in used.items():
        percent = float(100 * amount / limit) if limit else 0.0
        reached = max((at for at in rules.budget.at_percent if percent >= at), default=None)
        if reached is None or limit is None:
            continue
        least = "at least " if name == "usd" and spent.unpriced else ""
        of = f"budget of {_usd(limit)}" if name == "usd" else f"limit of {limit.normalize():f} h"
        text = f"the {of} is {'spent' if name == 'usd' else 'used up'}"
        text = text if percent >= 100 else f"{least}{int(percent)}% of the {of} is used"
        level = "bad" if percent >= 100 else "warn" if reached >= BUDGET_WARNS_FROM else "info"
        fix = f"clusterctl up {run.run} --limit-{name} N"
        detail = f"{name} {limit.normalize():f}"  # a limit that was raised is another
        yield _about(run, "budget", level, text, fix=fix, detail=detail, step=int(reached))


def _budget_forecast(run: RunFacts) -> Iterator[OpenAlert]:
    """Whether the limit in dollars will be reached before the work is done."""
    ahead = run.ahead
    if ahead is None or ahead.left_usd is None or ahead.left_usd <= 0 or ahead.seconds_left is None:
        return
    rate = ahead.rate.known_usd_per_hour
    until = float(ahead.left_usd / rate) * 3600 if rate and ahead.limit_at is not None else None
    if until is not None and until < ahead.seconds_left.p50:
        early = _time(ahead.seconds_left.p50 - until)
        text = f"the budget of {_usd(ahead.limits.usd or 0)} runs out in {_time(until)}, {early} before the end"
        yield _about(run, "budget_forecast", "bad", text, fix=f"clusterctl up {run.run} --limit-usd N")


def _unpriced(run: RunFacts) -> Iterator[OpenAlert]:
    if run.ahead is None:
        return
    names = {*run.ahead.spent.unpriced, *run.ahead.rate.unpriced}
    if names:
        text = f"unpriced: {len(names)} resource{'s' * (len(names) > 1)}; the true bill is higher"
        yield _about(run, "unpriced", "warn", text, fix="clusterctl prices check")


def _stalled(run: RunFacts, rules: AlertRules) -> Iterator[OpenAlert]:
    stated = rules.stalled.minutes
    patience = run.patience_seconds
    after = stated * 60 if stated is not None else STALLED_SHARE * patience if patience is not None else None
    if run.no_step_seconds is None or after is None or run.no_step_seconds <= after:
        return
    stop = f"; it is stopped after {_time(patience)}" if patience is not None else ""
    text = f"no step for {_time(run.no_step_seconds)}{stop}"
    yield _about(run, "stalled", "warn", text, fix=f"clusterctl logs {run.run} --tail 20")


def _gpus(run: RunFacts, rules: AlertRules) -> Iterator[OpenAlert]:
    gpus, idle = run.gpus, rules.idle
    if gpus.idle_share is not None and 100 * gpus.idle_share > idle.above_percent:
        many = f"{gpus.measured_gpus} GPUs" if gpus.measured_gpus != 1 else "GPU"
        text = f"{gpus.idle_share:.0%} of the time of its {many} was idle over the last {_time(60 * idle.minutes)}"
        yield _about(run, "idle", "warn", text, fix=f"clusterctl cost {run.run}")
    least = max(60 * rules.no_telemetry.minutes, SILENT_INTERVALS * gpus.interval_seconds)
    if gpus.silent_seconds is not None and gpus.silent_seconds > least:
        text = f"No telemetry of its GPUs since {_time(gpus.silent_seconds)} ago"
        yield _about(run, "no_telemetry", "warn", text, fix="clusterctl telemetry status")


def _orphan(left: LeftoverFacts) -> OpenAlert:
    noun = "resource is" if left.resources == 1 else "resources are"
    priced = left.unpriced < left.resources
    usd = f"{'at least ' if left.unpriced else ''}{_usd(24 * left.known_usd_per_hour)}" if priced else "unknown dollars"
    return OpenAlert(
        key=f"orphan:{left.run}",
        rule="orphan",
        level="warn",
        about=left.run,
        run=left.run,
        text=f"{left.resources} {noun} left over, {usd} a day",
        fix="clusterctl sweep",
    )


def _hardware(note: HardwareFacts) -> OpenAlert:
    return OpenAlert(
        key=f"{note.rule}:{note.node}",
        rule=note.rule,
        level="warn",
        about=note.node,
        text=f"{note.count} {NOUNS[note.rule][note.count > 1]}, the last: {note.text}",
    )


def _usd(amount: Decimal | float) -> str:
    """`$10,698`; cents below 100 dollars, more places below a cent."""
    places = 0 if amount == int(amount) or amount >= 100 else 2 if amount >= Decimal("0.01") else 4
    return f"${amount:,.{places}f}"


def _time(seconds: float) -> str:
    """`45 s`, `12 min`, `3.2 h`, `2.5 d`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"
