"""Each rule of alerts: when it speaks, what it says, how it is switched off."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from planners.alerts.alert_facts import Facts, GpuFacts, HardwareFacts, LeftoverFacts, OpenAlert, RunFacts
from planners.alerts.check import Alert
from planners.alerts.open_alerts import open_alerts
from planners.alerts.rule_settings import RULE_NAMES, AlertRules
from planners.plan.plan_rows import Band
from planners.runs.forecast import Forecast, UsdBand
from planners.runs.limits import RunLimits, RunRate, Usage

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def band(p50: float, spread: float = 1.5) -> Band:
    return Band(p10=p50 / spread, p50=p50, p90=p50 * spread)


def ahead(
    *, usd: str = "10", limit: str | None = None, hours: str = "1", limit_hours: str | None = None,
    at_end: str = "20", left_seconds: float = 3600, rate: str = "10", unpriced: tuple[str, ...] = (),
) -> Forecast:  # fmt: skip
    end = Decimal(at_end)
    known_limit = None if limit is None else Decimal(limit)
    return Forecast(
        spent=Usage(hours=Decimal(hours), known_usd=Decimal(usd), unpriced=unpriced),
        rate=RunRate(known_usd_per_hour=Decimal(rate)),
        limits=RunLimits(usd=known_limit, hours=None if limit_hours is None else Decimal(limit_hours)),
        step=1,
        steps=10,
        seconds_left=band(left_seconds),
        hours=band(2),
        known_usd=UsdBand(p10=end, p50=end, p90=end),
        unpriced=unpriced,
        overdue_seconds=0.0,
        stop=None,
        left_usd=None if known_limit is None else known_limit - Decimal(usd),
        limit_at=None if known_limit is None else NOW + timedelta(hours=1),
        basis="the plan",
    )


FINE = RunFacts(
    run="r1", is_live=True, ahead=ahead(), planned_usd=band(20), no_step_seconds=60.0, patience_seconds=1800.0,
    gpus=GpuFacts(idle_share=0.2, measured_gpus=8, silent_seconds=10.0, interval_seconds=10.0),
)  # fmt: skip


def of(run: RunFacts, **rules: object) -> list[OpenAlert]:
    return list(open_alerts(Facts(runs=(run,)), AlertRules.model_validate(rules)))


def test_a_run_that_is_fine_has_no_alert() -> None:
    assert of(FINE) == []


HACKED = Alert(
    kind="reward hacking", level="bad", stage="rl", since_step=41, numbers={}, sentence="38% fails the hidden tests",
    advice="read samples", source="",
)  # fmt: skip
CASES = {
    "failed": (
        replace(FINE, is_live=False, failed=True, note="failed: trainer ended with 137"),
        "bad",
        "has failed: trainer ended with 137",
    ),
    "over_plan": (replace(FINE, ahead=ahead(at_end="80")), "bad", "will cost $80, 4.0 x its planned $20"),
    "budget": (
        replace(FINE, ahead=ahead(usd="41", limit="50", left_seconds=60)),
        "warn",
        "82% of the budget of $50 is used",
    ),
    "budget_forecast": (
        replace(FINE, ahead=ahead(usd="10", limit="40", left_seconds=14_400)),
        "bad",
        "the budget of $40 runs out in 3.0 h, 60 min before the end",
    ),
    "unpriced": (
        replace(FINE, ahead=ahead(unpriced=("a", "b"))),
        "warn",
        "unpriced: 2 resources; the true bill is higher",
    ),
    "stalled": (replace(FINE, no_step_seconds=960.0), "warn", "no step for 16 min; it is stopped after 30 min"),
    "idle": (
        replace(FINE, gpus=replace(FINE.gpus, idle_share=0.7)),
        "warn",
        "70% of the time of its 8 GPUs was idle over the last 30 min",
    ),
    "no_telemetry": (
        replace(FINE, gpus=replace(FINE.gpus, silent_seconds=300.0)),
        "warn",
        "No telemetry of its GPUs since 5 min ago",
    ),
    "training": (replace(FINE, training=(HACKED,)), "bad", "reward hacking since step 41: 38% fails the hidden tests"),
}


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_speaks_has_its_level_changed_and_is_switched_off(rule: str) -> None:
    run, level, text = CASES[rule]
    (alert,) = of(run)
    assert (alert.rule, alert.level, alert.text, alert.about, alert.run) == (rule, level, text, "r1", "r1")
    assert of(run, **{rule: "info"})[0].level == "info"
    assert of(run, **{rule: "off"}) == []
    assert of(run, **{rule: False}) == []


def test_every_rule_has_a_test_here() -> None:
    assert {*CASES, "orphan", "gpu_lost", "xid"} == set(RULE_NAMES)


def test_leftovers_and_broken_hardware() -> None:
    facts = Facts(
        leftovers=(
            LeftoverFacts(run="r0", resources=1, known_usd_per_hour=Decimal("5.5")),
            LeftoverFacts(run="r2", resources=3, known_usd_per_hour=Decimal(1), unpriced=1),
            LeftoverFacts(run="r3", resources=2, known_usd_per_hour=Decimal(0), unpriced=2),
        ),
        hardware=(HardwareFacts(rule="xid", node="gpu-5", count=2, text="Xid 79: GPU has fallen off the bus"),),
    )
    assert [f"{alert.about}: {alert.text}" for alert in open_alerts(facts, AlertRules())] == [
        "r0: 1 resource is left over, $132 a day",
        "r2: 3 resources are left over, at least $24 a day",
        "r3: 2 resources are left over, unknown dollars a day",
        "gpu-5: 2 Xid errors, the last: Xid 79: GPU has fallen off the bus",
    ]


@pytest.mark.parametrize(
    ("usd", "step", "level"),
    [("24.9", None, ""), ("25", 50, "info"), ("40", 80, "warn"), ("50", 100, "bad"), ("90", 100, "bad")],
)
def test_a_budget_is_told_of_at_each_of_its_shares(usd: str, step: int | None, level: str) -> None:
    alerts = of(replace(FINE, ahead=ahead(usd=usd, limit="50", left_seconds=1)), over_plan="off")
    assert [(alert.step, alert.level) for alert in alerts] == ([] if step is None else [(step, level)])


def test_a_budget_in_hours_and_one_that_lacks_prices() -> None:
    (hours,) = of(replace(FINE, ahead=ahead(hours="2.5", limit_hours="2")))
    assert hours.text == "the limit of 2 h is used up"
    lacking = of(replace(FINE, ahead=ahead(usd="25", limit="50", left_seconds=1, unpriced=("x",))))
    assert "at least 50% of the budget of $50 is used" in [alert.text for alert in lacking]


def test_a_raised_limit_is_another_budget() -> None:
    (low,), (high,) = (of(replace(FINE, ahead=ahead(usd="41", limit=limit, left_seconds=1))) for limit in ("50", "80"))
    assert low.key != high.key


def test_thresholds_of_the_file_count() -> None:
    idle = replace(FINE, gpus=replace(FINE.gpus, idle_share=0.3))
    assert [alert.rule for alert in of(idle, idle={"above_percent": 25, "minutes": 10})] == ["idle"]
    assert of(replace(FINE, no_step_seconds=1700.0), stalled={"minutes": 30}) == []
    assert [alert.rule for alert in of(replace(FINE, no_step_seconds=400.0), stalled={"minutes": 5})] == ["stalled"]


def test_what_is_scraped_every_minute_may_be_silent_for_three() -> None:
    slow = replace(FINE, gpus=replace(FINE.gpus, silent_seconds=170.0, interval_seconds=60.0))
    assert of(slow) == []


def test_what_nobody_knows_is_no_alert() -> None:
    blank = RunFacts(run="r1", is_live=True)
    assert of(blank) == []


def test_the_worst_comes_first() -> None:
    run = replace(FINE, training=(HACKED,), no_step_seconds=960.0, ahead=ahead(usd="25", limit="50", left_seconds=1))
    assert [alert.level for alert in of(run)] == ["bad", "warn", "info"]
