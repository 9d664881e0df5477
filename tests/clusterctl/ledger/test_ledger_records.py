"""What is written is read, digit for digit; what is repeated changes nothing; what contradicts is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from ledger_world import T0, a_batch, a_machine, a_run, at

from clusterctl.errors import SpecError, StateError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.rows import Resource


def test_a_run_comes_back_digit_for_digit(ledger: Ledger, url: str) -> None:
    ledger.put_plan("p1", schema="plan/1", content='{"a": 1}', at=T0)
    run = a_run(
        plan_id="p1",
        limit_usd=Decimal("0.100000000000000000000000001"),
        limit_hours=Decimal("1e3"),
        labels={"team": "Käse 🧀"},
        note="first",
    )
    assert ledger.add_run(run) == run
    with open_ledger(url) as again:
        assert again.get_run("rlcef-1") == run
        assert again.get_plan("p1").content == '{"a": 1}'
        assert again.get_plan("p1").created_at == T0


def test_times_of_any_zone_are_kept_as_utc(ledger: Ledger) -> None:
    tokyo = timezone(timedelta(hours=9))
    stored = ledger.add_run(a_run(created_at=T0.astimezone(tokyo)))
    assert stored.created_at == T0
    assert stored.created_at.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_and_an_amount_that_is_none_are_refused(ledger: Ledger) -> None:
    for wrong in ({"created_at": datetime(2026, 1, 1)}, {"limit_usd": Decimal("NaN")}, {"limit_usd": Decimal(-1)}):
        with pytest.raises(Exception, match=r"no time zone|no amount"):
            ledger.add_run(a_run(**wrong))
    assert ledger.runs() == ()


def test_a_name_has_one_live_run(ledger: Ledger) -> None:
    first = ledger.add_run(a_run("rlcef-1"))
    assert ledger.add_run(replace(first, note="again")) == first  # the same run resumes
    with pytest.raises(SpecError, match="a run named `rlcef` is live") as caught:
        ledger.add_run(a_run("rlcef-2"))
    assert "clusterctl down rlcef" in str(caught.value.hint)
    assert [run.run_id for run in ledger.runs()] == ["rlcef-1"]
    for number, ended in enumerate(("stopped", "finished", "failed"), 2):
        ledger.set_state("rlcef-1", ended, at=at(60))  # type: ignore[arg-type]  # the tuple's texts are states
        ledger.add_run(a_run(f"rlcef-{number}"))
        with pytest.raises(StateError, match="contradicts"):
            ledger.set_state("rlcef-1", "running")
        ledger.set_state(f"rlcef-{number}", "failed")
        ledger.set_state("rlcef-1", "running")


def test_a_run_is_found_by_id_name_or_beginning(ledger: Ledger) -> None:
    ledger.add_run(a_run("rlcef-aa1", state="stopped", created_at=at(0)))
    ledger.add_run(a_run("rlcef-aa2", state="failed", created_at=at(10)))
    assert ledger.get_run("rlcef").run_id == "rlcef-aa2", "the newest"
    ledger.add_run(a_run("rlcef-b", created_at=at(-10)))
    ledger.add_run(a_run("b", name="sft_%", created_at=at(20)))
    assert ledger.get_run("rlcef").run_id == "rlcef-b", "the live one"
    assert ledger.get_run("rlcef-aa1").run_id == "rlcef-aa1"
    assert ledger.get_run("rlcef-b").run_id == "rlcef-b"
    assert ledger.get_run("sft_%").run_id == "b"
    with pytest.raises(SpecError, match="fits rlcef-aa2, rlcef-aa1"):
        ledger.get_run("rlcef-a")
    for unknown in ("rl_ef", "%", "", "x" * 300, "a\0b", "\udcff"):
        with pytest.raises(SpecError, match="no run is called") as caught:
            ledger.get_run(unknown)
        assert len(caught.value.message) < 120
    with pytest.raises(SpecError) as caught:
        ledger.get_run("rlcex")
    assert caught.value.hint == "did you mean `rlcef`?"


def test_states_keep_the_first_start_and_the_first_end(ledger: Ledger) -> None:
    ledger.add_run(a_run())
    for seconds, state in enumerate(("provisioning", "running", "stopping", "stopped", "stopped"), 1):
        ledger.set_state("rlcef-1", state, at=at(seconds))  # type: ignore[arg-type]  # the tuple's texts are states
    ended = ledger.get_run("rlcef-1")
    assert (ended.state, ended.started_at, ended.ended_at) == ("stopped", at(1), at(4))
    ledger.set_state("rlcef-1", "running", at=at(9), note="resumed")
    resumed = ledger.get_run("rlcef-1")
    assert (resumed.started_at, resumed.ended_at, resumed.note) == (at(1), None, "resumed")
    ledger.set_desired("rlcef-1", "down")
    assert (ledger.get_run("rlcef-1").desired, ledger.get_run("rlcef-1").note) == ("down", "resumed")
    assert [run.run_id for run in ledger.runs({"running"})] == ["rlcef-1"]
    assert ledger.runs(states=("wanted", "failed")) == ()


def test_unknown_things_are_named(ledger: Ledger) -> None:
    ledger.add_run(a_run())
    with pytest.raises(StateError, match="no run `nobody`"):
        ledger.set_state("nobody", "running")
    with pytest.raises(StateError, match="no run `nobody`"):
        ledger.set_desired("nobody", "down")
    lost: list[Callable[[], Any]] = [
        lambda: ledger.mark_gone("nothing"),
        lambda: ledger.mark_live("nothing", address="1"),
        lambda: ledger.extend_cost("nothing", until=T0),
        lambda: ledger.set_price("nothing", None, source=""),
    ]
    for call in lost:
        with pytest.raises(StateError, match="no resource `nothing`"):
            call()
    with pytest.raises(SpecError, match="no plan `p9`"):
        ledger.get_plan("p9")
    with pytest.raises(StateError, match="contradicts its records"):
        ledger.record_event("nobody", "launch", "hello")
    with pytest.raises(StateError, match="contradicts its records"):
        ledger.intend(a_machine(run_id="nobody"))


def test_a_plan_is_kept_once(ledger: Ledger) -> None:
    ledger.put_plan("p1", schema="plan/1", content="{}")
    ledger.put_plan("p1", schema="plan/1", content="{}")
    ledger.put_plan("p1", schema="plan/1", content="the same at another time")
    assert ledger.get_plan("p1").content == "{}"


def test_a_resource_is_intended_then_live_then_gone(ledger: Ledger) -> None:
    ledger.add_run(a_run())
    machine = a_machine(tags={"clusterctl.dev/run": "rlcef-1"})
    seen: list[Resource] = []
    for _ in range(2):
        seen.append(ledger.intend(machine, at=at(len(seen))))
    for _ in range(2):
        seen.append(ledger.mark_live(machine.resource_id, address="41:99", at=at(len(seen))))
    assert ledger.live_resources("rlcef-1") == (seen[-1],)
    for _ in range(2):
        seen.append(ledger.mark_gone(machine.resource_id, at=at(len(seen))))
    seen += [ledger.mark_live(machine.resource_id, address="41:99", at=at(99)), ledger.intend(machine, at=at(99))]
    assert [resource.state for resource in seen] == ["intended"] * 2 + ["live"] * 2 + ["gone"] * 4
    last = seen[-1]
    assert (last.intended_at, last.live_at, last.gone_at) == (at(0), at(2), at(4))
    assert (last.tags, last.usd_per_hour, last.address) == (machine.tags, Decimal("3.6"), "41:99")
    assert (ledger.live_resources(), ledger.resources("other")) == ((), ())


def test_a_second_launch_does_not_pass_unseen(ledger: Ledger) -> None:
    ledger.add_run(a_run())
    machine = a_machine()
    ledger.intend(machine)
    assert ledger.live_resources("rlcef-1"), "whoever died in the act may have made it"
    ledger.mark_live(machine.resource_id, address="41:99")
    with pytest.raises(StateError, match="is at 42:7, and was recorded as live at 41:99"):
        ledger.mark_live(machine.resource_id, address="42:7")
    with pytest.raises(StateError, match="is recorded as a machine of rlcef-1"):
        ledger.intend(a_machine(role="trainer"))
    never = ledger.intend(a_machine("never"))
    assert ledger.mark_gone(never.resource_id).live_at is None
    with pytest.raises(StateError, match="is at 42:7, and was recorded as gone at none"):
        ledger.mark_live("never", address="42:7")


def test_an_event_with_an_id_is_recorded_once(ledger: Ledger) -> None:
    ledger.add_run(a_run())
    first = ledger.record_event("rlcef-1", "launch", "a\0b \ud800", role="trainer", data={"n": [1, None]}, event_id="x")
    assert ledger.record_event("rlcef-1", "launch", "other", event_id="x") == first
    others = [
        ledger.record_event("rlcef-1", kind, "m", role=role, at=T0) for kind, role in (("end", None), ("end", "a"))
    ]
    assert ledger.events("rlcef-1") == (first, *others)
    assert (first.message, first.data) == ("a\ufffdb ?", {"n": [1, None]})
    assert ledger.events(since_seq=first.seq, kind="end", role="a") == (others[1],)
    assert ledger.events("rlcef-1", limit=1) == (first,)
    assert ledger.events("other") == ()


def test_steps_and_phases_are_kept_once_and_the_last_counts(ledger: Ledger) -> None:
    ledger.add_run(a_run())
    assert ledger.last_step("rlcef-1") is None
    for reward in (0.25, float("nan")):
        for step in (1, 2, 2):
            batch = a_batch(step, of=9, at=at(step), reward=reward, gap=None, rollout_seconds=1 / 3)
            assert ledger.record_reports("rlcef-1", batch)
    steps = ledger.steps("rlcef-1")
    assert [(step.step, step.of, step.metrics) for step in steps] == [
        (n, 9, {"reward": None, "gap": None}) for n in (1, 2)
    ]
    assert [(phase.phase, phase.step, phase.seconds) for phase in ledger.phases("rlcef-1")] == [
        ("rollout", 1, 1 / 3),
        ("rollout", 2, 1 / 3),
    ]
    assert ledger.last_step("rlcef-1") == steps[-1]
    assert steps[-1].at == at(2)


def test_the_clock_is_asked_only_where_no_moment_is_given(url: str) -> None:
    with open_ledger(url, now=lambda: at(5)) as ledger:
        ledger.add_run(a_run())
        ledger.set_state("rlcef-1", "running")
        assert ledger.get_run("rlcef-1").started_at == at(5)
        assert ledger.record_event("rlcef-1", "k", "m").at == at(5)
        assert ledger.intend(a_machine()).intended_at == at(5)
