"""`clusterctl calibrate` and the plan after it, on a ledger with runs of the quickstart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from clusterctl import cli
from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.rows import PhaseSeconds, ReportBatch, Run, RunState
from clusterctl.specfile.plan_file import parse_plan

T0 = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SPEC = "templates/specs/quickstart.yaml"


class Done(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


Call = Callable[..., Done]


@pytest.fixture
def call(work_folder: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Call:
    """`call("calibrate", "--apply")` in a folder with templates/ and an empty home."""
    monkeypatch.chdir(work_folder)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("CLUSTERCTL_HOME", str(work_folder / "home"))
    monkeypatch.delenv("CLUSTERCTL_LEDGER", raising=False)

    def run(*args: str) -> Done:
        with pytest.raises(SystemExit) as stopped:
            cli.main(list(args))
        out, err = capfdbinary.readouterr()
        return Done(int(stopped.value.code or 0), out.decode(), err.decode())

    return run


@pytest.fixture
def ledger(call: Call) -> Iterator[Ledger]:
    with open_ledger() as opened:
        yield opened


def ran(ledger: Ledger, call: Call, name: str, *, times: float, state: RunState = "finished", steps: int = 20) -> None:
    """A run of the quickstart whose phases took `times` as long as planned without own runs."""
    call("plan", SPEC, "--out", f"{name}.json")
    plan = parse_plan(Path(f"{name}.json").read_text("utf-8"), name=name)
    ledger.put_plan(plan.id, schema=plan.schema_name, content=plan.model_dump_json(exclude={"created_at"}))
    ledger.add_run(Run(run_id=name, name=name, target="local", plan_id=plan.id, created_at=T0))
    phases: list[PhaseSeconds] = []
    for step in range(1, steps + 1):
        for phase in plan.stages[0].phases:
            assert phase.own
            seconds, at = times * phase.seconds / phase.own.factor, T0 + timedelta(seconds=step)
            phases.append(PhaseSeconds(run_id=name, stage="rlcef", phase=phase.name, step=step, seconds=seconds, at=at))
    ledger.record_reports(name, ReportBatch(phases=tuple(phases), since=T0))
    ledger.set_state(name, state)


def hours(call: Call) -> dict[str, float]:
    band: dict[str, float] = json.loads(call("plan", SPEC, "--json").out)["hours"]
    return band


def test_without_runs_it_says_what_starts_one(call: Call) -> None:
    assert "no ended run can be used for calibration yet" in call("calibrate").out
    done = call("calibrate", "--apply")
    assert (done.code, "no run can be used for calibration yet" in done.err) == (2, True)
    assert call("calibrate", "--list").out == "nothing was applied yet\n"
    assert json.loads(call("calibrate", "--json").out) == {
        "in_use": None,
        "proposed": None,
        "factors": [],
        "not_counted": [],
    }


def test_factors_are_shown_then_used_then_reverted(call: Call, ledger: Ledger) -> None:
    raw = hours(call)
    for number in range(3):
        ran(ledger, call, f"q{number}", times=1.8)
    shown = call("calibrate")
    assert "in use: nothing of your runs; clusterctl calibrate --apply uses " in shown.out
    assert "sandbox   judge, 0.04 s a run     3" in shown.out
    assert hours(call) == raw, "shown, not used"
    assert call("calibrate", "--apply").code == 0
    page = call("plan", SPEC).out
    assert "calibrated on 3 of your runs" in " ".join(page.split())
    learned = hours(call)
    assert learned["p50"] == pytest.approx(1.7 * raw["p50"], rel=0.1)
    assert learned["p90"] / learned["p10"] < raw["p90"] / raw["p10"]
    assert "your runs q0, q1, q2" in " ".join(call("plan", SPEC, "--explain").out.split())
    identity = json.loads(call("calibrate", "--json").out)["in_use"]
    assert json.loads(call("plan", SPEC, "--json").out)["calibration"].endswith(f"+{identity}")
    assert [row["state"] for row in json.loads(call("calibrate", "--list", "--json").out)] == ["in use"]
    assert "reverted" in call("calibrate", "--revert", identity).out
    assert hours(call) == raw


def test_runs_of_a_calibrated_plan_are_not_counted_twice(call: Call, ledger: Ledger) -> None:
    ran(ledger, call, "first", times=1.8)
    call("calibrate", "--apply")
    ran(ledger, call, "second", times=1.8)
    rows = json.loads(call("calibrate", "--json").out)["factors"]
    assert {row["phase"] for row in rows} == {"generate", "sandbox", "train"}
    for row in rows:
        assert row["actual_over_planned"] == {"first": pytest.approx(1.8), "second": pytest.approx(1.8)}, row["phase"]


def test_what_an_input_moves_keeps_what_runs_taught(call: Call, ledger: Ledger) -> None:
    ran(ledger, call, "slow", times=3.0)
    call("calibrate", "--apply")
    plan = json.loads(call("plan", SPEC, "--json").out)
    (moved,) = [row for row in plan["sensitivity"] if row["input"] == "rlcef.sandbox.seconds.mean"]
    assert moved["hours_low"] < plan["hours"]["p50"] < moved["hours_high"]


def test_runs_that_teach_nothing_are_named_and_the_rest_counts(call: Call, ledger: Ledger) -> None:
    ran(ledger, call, "fine", times=1.5)
    ran(ledger, call, "interrupted", times=1.4, state="failed", steps=2)
    ran(ledger, call, "running", times=9.0, state="running")
    ran(ledger, call, "nothing-done", times=1.0, state="stopped", steps=0)
    ledger.add_run(Run(run_id="no-plan", name="no-plan", target="local", created_at=T0))
    ledger.set_state("no-plan", "finished")
    ledger.put_plan("odd", schema="clusterctl.plan/0", content="{}")
    ledger.add_run(Run(run_id="odd", name="odd", target="local", plan_id="odd", created_at=T0))
    ledger.set_state("odd", "finished")
    found = json.loads(call("calibrate", "--json").out)
    assert set(found["factors"][0]["actual_over_planned"]) == {"fine", "interrupted"}
    assert {row["run"]: row["reason"] for row in found["not_counted"]} == {
        "nothing-done": "not measured: no step completed it",
        "no-plan": "it has no plan",
        "odd": "its plan in the ledger: has no schema_name; this clusterctl reads 'clusterctl.plan/1'",
    }


def test_three_wishes_at_once_are_refused(call: Call) -> None:
    done = call("calibrate", "--apply", "--list")
    assert (done.code, "exclude each other" in done.err) == (2, True)
    assert "no calibration is called `abc`" in call("calibrate", "--revert", "abc").err


SPEC_OF_LOG = """\
name: verl-run
stages:
  - {kind: rlcef, framework: verl, model: Qwen/Qwen3-8B, steps: 100, prompts_per_step: 256, samples_per_prompt: 8,
     reference: false, max_response_tokens: 2048, schedule: colocated, train: {sharding: fsdp}}
fleet: {gpus: [H100], num_gpus: 8}
"""


def log_of(times: float, *, steps: int = 6) -> str:
    row = "step:{} - timing_s/gen:{} - timing_s/update_actor:{} - timing_s/whatever:1 - response_length/mean:500.0\n"
    return "".join(row.format(n, 40 * times * (1 + (n == 1)), 30 * times) for n in range(1, steps + 1))


def test_a_log_teaches_as_a_run_does(call: Call) -> None:
    Path("spec.yaml").write_text(SPEC_OF_LOG)
    Path("a.log").write_text(log_of(3.0))
    Path("b.log").write_text(log_of(3.2))
    shown = call("calibrate", "--from", "a.log", "--from", "b.log", "--plan", "spec.yaml")
    assert shown.code == 0
    assert "a: verl, 6 steps (1 to 6), by timing_s/gen" in shown.out
    assert "response_tokens: planned with the log's mean of 500; the spec says nothing" in shown.out
    assert "spec.yaml with the proposed factors: " in shown.out
    assert "the same command with --apply" in shown.out
    found = json.loads(call("calibrate", "--from", "a.log", "--from", "b.log", "--spec", "spec.yaml", "--json").out)
    generate = {phase["phase"]: phase for phase in found["logs"][0]["phases"]}["generate"]
    assert generate["seconds"] == 120  # the first step, twice as long, is warm-up
    assert {factor["phase"] for factor in found["factors"]} == {"generate", "train"}
    assert found["effect"]["with_factors"]["hours"] > found["effect"]["before"]["hours"]
    assert call("calibrate", "--from", "a.log", "--from", "b.log", "--plan", "spec.yaml", "--apply").code == 0
    assert json.loads(call("calibrate", "--list", "--json").out)[0]["runs"] == 2


def test_what_a_log_taught_is_remembered_listed_and_revoked(call: Call, ledger: Ledger) -> None:
    Path("spec.yaml").write_text(SPEC_OF_LOG)
    for folder in ("x", "y"):
        Path(folder).mkdir()
    Path("x/train.log").write_text(log_of(3.0))
    Path("y/train.log").write_text(log_of(5.0))
    for file in ("x/train.log", "y/train.log"):
        assert call("calibrate", "--from", file, "--plan", "spec.yaml", "--apply").code == 0
    ran(ledger, call, "own", times=1.8)
    assert call("calibrate", "--apply").code == 0, "without the logs"
    both = json.loads(call("calibrate", "--json").out)["factors"]
    (generate,) = [row for row in both if (row["phase"], row["gpu"]) == ("generate", "H100")]
    assert len(generate["actual_over_planned"]) == 2, "two logs of one name"
    assert {"own"} in [set(row["actual_over_planned"]) for row in both]
    logs = [row for row in json.loads(call("calibrate", "--list", "--json").out) if "log" in row]
    assert [(row["state"], Path(row["source"].partition(",")[0])) for row in logs] == [
        ("counts", Path(file).absolute()) for file in ("y/train.log", "x/train.log")
    ]
    assert "revoked" in call("calibrate", "--revert", logs[0]["log"]).out
    left = json.loads(call("calibrate", "--json").out)["factors"]
    (generate,) = [row for row in left if (row["phase"], row["gpu"]) == ("generate", "H100")]
    assert set(generate["actual_over_planned"]) == {"train"}
    assert call("calibrate", "--from", "y/train.log", "--plan", "spec.yaml", "--apply").code == 0
    again = [row for row in json.loads(call("calibrate", "--list", "--json").out) if "log" in row]
    assert [row["state"] for row in again] == ["counts", "counts"], "the same log counts again, once"


def test_whole_steps_give_all_phases_one_factor(call: Call) -> None:
    Path("spec.yaml").write_text(SPEC_OF_LOG.replace("framework: verl", "framework: trl"))
    Path("t.log").write_text("".join(f"{{'loss': 0.1, 'reward': 1.0, 'step_time': {90.0 + n}}}\n" for n in range(5)))
    found = json.loads(call("calibrate", "--from", "t.log", "--plan", "spec.yaml", "--json").out)
    ratios = {round(ratio, 6) for factor in found["factors"] for ratio in factor["actual_over_planned"].values()}
    assert len(ratios) == 1
    assert "step_time: whole steps only, so that all phases get the same factor" in found["logs"][0]["notes"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--from", "a.log"), "--from needs --plan FILE"),
        (("--plan", "spec.yaml"), "--plan and --framework need --from LOG"),
        (("--from", "a.log", "--list"), "--from excludes --revert and --list"),
        (("--from", "none.log", "--plan", "spec.yaml"), "none.log: no such file"),
        (
            ("--from", "run.py", "--plan", "spec.yaml"),
            "run.py: is a Python program, and what it computes is known only",
        ),
        (("--from", "a.log", "--plan", "conf.py"), "conf.py: is a Python program, and what it computes is known only"),
        (("--from", "a.log", "--plan", "sft.yaml"), "is the log of reinforcement learning, but sft.yaml has only sft"),
    ],
)
def test_logs_that_make_no_sense_are_refused(call: Call, args: tuple[str, ...], message: str) -> None:
    Path("spec.yaml").write_text(SPEC_OF_LOG)
    Path("sft.yaml").write_text("name: x\nstages:\n  - {kind: sft, model: Qwen/Qwen3-8B, tokens: 1000000}\n")
    Path("a.log").write_text(log_of(1.0))
    done = call("calibrate", *args)
    assert (done.code, message in done.err) == (2, True), done.err
