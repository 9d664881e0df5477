"""A simulated day agrees with itself: seconds of phases, samples of GPUs, programs of the sandbox; and it is the one
that ships."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from clusterctl.dashboard.sample import LEDGER, TABLES, load_sample, sample_data
from clusterctl.ledger import open_ledger
from planners.plan.value import Plan
from planners.telemetry.tables import schema
from tools.simulated_day.frames import GPUS_PER_NODE, INTERVAL_SECONDS, Pool, gpu_frame, host_frame, sandbox_frame
from tools.simulated_day.incidents import Incident, apply, notes
from tools.simulated_day.ledger_rows import ledger_sql
from tools.simulated_day.make import make_day
from tools.simulated_day.timeline import Day, Outage, Scenario, Slowdown, simulate

START = datetime(2026, 1, 1, tzinfo=UTC)


def scenario(hours: float = 4.0, **more: object) -> Scenario:
    given: dict[str, object] = {
        "hours": hours,
        "steps": 1000,
        "boot_seconds": 300.0,
        "factors": {"generate": 1.1},
        "samples_per_step": 512,
        "planned_seconds": {
            "generate": 120.0,
            "sandbox": 10.0,
            "log-prob": 20.0,
            "reference": 20.0,
            "train": 70.0,
            "weight sync": 5.0,
        },
        "sandbox_slots": 32,
        "sandbox_mean_seconds": 2.0,
        "checkpoint_every_steps": 5,
        "evaluate_every_steps": 10,
        "evaluate_seconds": 60.0,
    }
    return Scenario(**(given | more))  # type: ignore[arg-type]


def rollout_frame(day: Day, hours: float = 4.0, seed: int = 3) -> pl.DataFrame:
    pool = Pool(nodes=("a", "b"), run="r", role="rollout", lane=day.rollout, fb_used_mib=70_000)
    return gpu_frame(pool, START, hours=hours, seed=seed)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), hours=st.sampled_from([0.5, 2.0, 5.25]), outage=st.booleans())
def test_every_gpu_second_is_accounted_for_once(seed: int, hours: float, outage: bool) -> None:
    what = scenario(hours, outages=(Outage(at_hour=hours / 2),) if outage else ())
    frame = rollout_frame(simulate(what, seed=seed), hours)
    assert frame.schema == schema("gpu")
    by_gpu = frame.group_by("node", "gpu").agg(pl.col("seconds").cast(pl.Float64).sum())
    assert by_gpu.height == 2 * GPUS_PER_NODE
    assert by_gpu["seconds"].to_list() == pytest.approx([hours * 3600] * by_gpu.height, abs=5)
    assert frame["seconds"].max() <= INTERVAL_SECONDS + 0.001


def test_gpus_wait_as_long_as_the_phases_say() -> None:
    day = simulate(scenario(), seed=1)
    done = [step for step in day.steps if step.end <= 4 * 3600]
    frame = rollout_frame(day).filter(pl.col("node") == "a", pl.col("gpu") == "0")
    waited = frame.filter(pl.col("reason") == "waiting_sandbox")["seconds"].sum()
    assert waited == pytest.approx(sum(step.phases["sandbox"] for step in done), rel=0.03)


def test_all_samples_of_all_steps_end_in_the_sandbox() -> None:
    what = scenario(slowdowns=(Slowdown(from_hour=1, to_hour=2, factor=3),))
    day = simulate(what, seed=1)
    frame = sandbox_frame(what, day, START, nodes=["s"], run="r", seed=2)
    assert frame["finished"].sum() == pytest.approx(len(day.steps) * what.samples_per_step, abs=what.samples_per_step)
    slow = frame.filter(pl.col("at") > START + timedelta(hours=1), pl.col("at") < START + timedelta(hours=2))
    assert slow["queued"].max() > 0
    assert slow["request_p50_ms"].mean() > 2 * frame["request_p50_ms"].median()


def test_an_outage_throws_the_steps_since_the_checkpoint_away() -> None:
    day = simulate(scenario(outages=(Outage(at_hour=2.0),)), seed=1)
    ((back, kept, lost),) = day.recovered
    assert kept == lost - lost % 5
    again = [step.step for step in day.steps if step.start >= back]
    assert again[0] == kept + 1
    states = set(day.rollout.states)
    assert {"hang", "down", "boot"} <= states


def test_the_same_seed_is_the_same_day() -> None:
    one, two = (rollout_frame(simulate(scenario(), seed=5)) for _ in range(2))
    assert one.equals(two)
    assert not one.equals(rollout_frame(simulate(scenario(), seed=6)))


def test_incidents_leave_gaps_and_notes_never_zeros() -> None:
    frame = rollout_frame(simulate(scenario(), seed=1))
    found = (
        Incident(kind="lost", node="a", subject="3", at_hour=1, until_hour=2, text="gone"),
        Incident(kind="gap", node="b", at_hour=2, until_hour=2.5, text="restarted"),
        Incident(kind="absent", node="b", subject="power_w", text="not offered"),
        Incident(kind="xid", node="a", subject="1", at_hour=3, xid=63, text="Xid 63"),
    )
    kept = apply(frame, found, START)
    hour = lambda n: START + timedelta(hours=n)  # noqa: E731
    assert kept.filter(
        pl.col("node") == "a", pl.col("gpu") == "3", pl.col("at").is_between(hour(1), hour(2), closed="right")
    ).is_empty()
    assert kept.filter(pl.col("node") == "b", pl.col("at").is_between(hour(2), hour(2.5), closed="right")).is_empty()
    assert kept.filter(pl.col("node") == "b")["power_w"].null_count() == kept.filter(pl.col("node") == "b").height
    assert kept.filter(pl.col("xid") == 63)["gpu"].unique().to_list() == ["1"]
    assert notes(found, START)["kind"].to_list() == ["absent", "lost", "appeared", "gap", "xid"]
    assert host_frame(kept, seed=1).schema == schema("host")


def test_the_day_that_ships_is_the_one_that_its_plans_make(tmp_path: Path) -> None:
    """After a change of the generator or of the plan's form: `python tools/simulated_day/make.py`."""
    load_sample(tmp_path)
    with open_ledger(str(tmp_path / "ledger.db")) as ledger:
        stored = {run.run_id: json.loads(ledger.get_plan(run.plan_id or "").content) for run in ledger.runs()}
    plans = {run_id: Plan.model_validate(plan | {"created_at": START}) for run_id, plan in stored.items()}
    runs, telemetry = make_day(plans)
    assert ledger_sql(runs) == (sample_data() / LEDGER).read_text("utf-8")
    assert set(telemetry) == set(TABLES)
    for table, frame in telemetry.items():
        assert_frame_equal(frame, pl.read_parquet(sample_data() / f"{table}.parquet"), abs_tol=1)
