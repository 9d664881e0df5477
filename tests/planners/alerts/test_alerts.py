"""Warnings: silent on healthy runs, in time on those that go wrong."""

from __future__ import annotations

import math

import pytest
from simulated_reports import changed, healthy, texts

from planners.alerts import thresholds
from planners.alerts.check import Alert, Report, alerts
from planners.alerts.thresholds import Threshold

HEALTHY_SEEDS = range(24)
"""With 200: docs/alerts.md."""


def kinds(reports: list[Report]) -> set[str]:
    return {alert.kind for alert in alerts(reports)}


def test_healthy_runs_are_left_alone_at_every_look() -> None:
    warned = [
        (seed, look)
        for seed in HEALTHY_SEEDS
        for run in [healthy(seed, [40, 100, 250][seed % 3])]
        for look in range(15, len(run) + 1, max(1, len(run) // 12))
        if alerts(run[:look], texts(seed, look) if seed % 6 == 0 else ())
    ]
    assert len({seed for seed, _ in warned}) <= 1, warned


@pytest.mark.parametrize("seed", range(6))
def test_a_hacked_reward_is_noticed_before_the_run_is_over(seed: int) -> None:
    """From step 80 of 200 on the policy learns to please the visible tests; hidden passes fall to a quarter."""
    run = changed(healthy(seed, 200), 80, pass_at_1_hidden=0.25)
    assert "reward hacking" not in kinds(run[:80])
    noticed = next(look for look in range(80, 201, 5) if "reward hacking" in kinds(run[:look]))
    assert noticed <= 170
    found = next(alert for alert in alerts(run) if alert.kind == "reward hacking")
    good = max(report.metrics["pass_at_1_hidden"] or 0.0 for report in run[60:80])
    assert found.level == "bad" or good < 0.3, "a few hundredths are no certain fall"
    assert 80 < found.since_step <= noticed
    assert found.numbers["failed_hidden_share"] > 0.4
    assert f"{found.numbers['failed_hidden_share']:.0%} of what passes" in found.sentence
    assert ("fallen from" in found.sentence) == (found.level == "bad")
    assert "arXiv" in found.source


def test_weak_tests_from_the_start_are_a_warning() -> None:
    run = [
        r._replace(metrics=r.metrics | {"pass_at_1_hidden": 0.4 * (r.metrics["pass_at_1_visible"] or 0)})
        for r in healthy(1, 100)
    ]
    (found,) = alerts(run)
    assert (found.kind, found.level) == ("reward hacking", "warn")


@pytest.mark.parametrize(
    ("name", "factor", "kind"),
    [
        ("entropy_nats", 0.01, "entropy"),
        ("response_tokens_mean", 4.0, "length"),
        ("response_tokens_mean", 0.2, "length"),
        ("sandbox", 4.0, "sandbox"),
    ],
)
def test_drifts_are_named(name: str, factor: float, kind: str) -> None:
    run = changed(healthy(3, 200, of=400), 60, **{name: factor, "reward": 0.9 if kind == "length" else 1.0})
    if kind == "length":
        run = [r._replace(metrics=r.metrics | {"reward": 0.3}) for r in run]
    assert kinds(run[:60]) == set()
    assert kinds(run) == {kind}


def test_used_up_entropy_at_the_end_of_a_run_wastes_nothing() -> None:
    assert kinds(changed(healthy(3, 200, of=400), 60, entropy_nats=0.01)) == {"entropy"}
    assert kinds(changed(healthy(3, 200), 60, entropy_nats=0.01)) == set()


def test_rising_entropy_with_a_falling_reward_is_bad() -> None:
    run = changed(healthy(3, 200), 100, entropy_nats=12.0, reward=0.2)
    (found,) = [alert for alert in alerts(run) if alert.kind == "entropy"]
    assert found.level == "bad"
    assert "entropy" not in kinds(changed(healthy(3, 200), 100, entropy_nats=12.0))


def test_a_sandbox_that_times_out_more_and_more_is_named() -> None:
    run = [
        r._replace(metrics=r.metrics | {"time_limit_share": 0.01 + 0.002 * max(r.step - 50, 0)})
        for r in healthy(2, 150)
    ]
    found = next(alert for alert in alerts(run) if alert.kind == "sandbox")
    assert "time out, at first 1%" in found.sentence
    assert found.since_step > 50


@pytest.mark.parametrize("seed", range(3))
def test_collapsing_texts_are_noticed(seed: int) -> None:
    run, written = healthy(seed, 120), texts(seed, 120, collapses_from=60)
    early = [sample for sample in written if sample.step <= 60]
    assert alerts(run[:60], early) == ()
    found = [alert for alert in alerts(run, written) if alert.kind == "collapse"]
    assert {"bad"} == {alert.level for alert in found}
    assert any("near-duplicates" in alert.sentence for alert in found)
    assert all(60 < alert.since_step < 115 for alert in found)


def test_collapse_that_the_job_measures_itself_is_read() -> None:
    run = [
        Report("synthesize", n, 40, {"near_duplicate_share": 0.1 + 0.01 * n, "distinct_ngram_share": 0.6}, {})
        for n in range(1, 41)
    ]
    assert [alert.kind for alert in alerts(run)] == ["collapse"]


def test_odd_reports_are_survived() -> None:
    assert alerts([]) == ()
    odd = [
        Report("a", n, 50, {"entropy_nats": None if n % 2 else math.nan, "reward": math.inf}, {"sandbox": 0.0})
        for n in range(50)
    ]
    assert alerts(odd) == ()
    assert alerts([Report("a", 1, 1, {"pass_at_1_visible": 0.0, "pass_at_1_hidden": 0.0}, {})] * 40) == ()
    absent = [r._replace(metrics={}) for r in healthy(1, 60)]
    assert alerts(absent) == ()


def test_the_worst_comes_first() -> None:
    run = changed(healthy(1, 200, of=400), 60, pass_at_1_hidden=0.2, entropy_nats=0.01)
    assert [alert.level for alert in alerts(run)] == ["bad", "warn"]


def test_every_threshold_has_a_source() -> None:
    known = [value for value in vars(thresholds).values() if isinstance(value, Threshold)]
    assert len(known) >= 12
    assert all("arXiv" in t.source or t.source.startswith(("our convention", "1 in")) for t in known)
    assert isinstance(alerts(healthy(0, 20)), tuple)
    assert Alert.__dataclass_fields__["source"]
