"""Logs of past runs give the seconds of each step; what is broken, repeated or foreign is said."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import pytest

from clusterctl.errors import SpecError
from clusterctl.frameworks.logs.read_log import read_log
from clusterctl.frameworks.logs.run_log import RunLog

VERL = "\x1b[36m(TaskRunner pid=7)\x1b[0m step:{n} - actor/loss:np.float64(0.1) - timing_s/gen:{gen} - timing_s/old_log_prob:6.5 - timing_s/update_actor:np.float64(20.5) - timing_s/step:60.0 - response_length/mean:350.5 - prompt_length/mean:100.0 - critic/score/mean:0.25\n"
TITAN = "[rank{rank}]:[titan] 2026-06-16 22:31:{second:02d},500 - root - INFO - step: {n:2d}  loss:  6.1  memory: 49.66GiB(52.28%)  tps: 5,856  tflops: 339.2  mfu: 34.3%\n"
OPENRLHF = "✨ Global step {n}: {{'policy_loss': 0.1, 'response_length': 500.0, 'timing/make_experience': 12.0, 'timing/ppo_train': 30.0, 'timing/broadcast': 2.0, 'timing/generation': 40.0, 'timing/step_total': 84.0}}\n"
TRL = "{{'loss': 0.1, 'grad_norm': nan, 'reward': 1.5, 'completions/mean_length': 200.0, 'step_time': {seconds}, 'epoch': 0.1}}\n"


def log(tmp_path: Path, text: str | bytes, name: str = "run.log", framework: str | None = None) -> RunLog:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_log(path, framework)


def test_verl(tmp_path: Path) -> None:
    found = log(tmp_path, "starting\n" + "".join(VERL.format(n=n, gen=30.0 + n) for n in range(1, 5)))
    assert (found.framework, found.num_steps, found.first_step, found.last_step) == ("verl", 4, 1, 4)
    assert found.phases == {("generate",): [31, 32, 33, 34], ("log-prob",): [6.5] * 4, ("train",): [20.5] * 4}
    assert (found.step_seconds, found.step_key) == ([60.0] * 4, "timing_s/step")
    assert (found.response_tokens, found.prompt_tokens, found.reward) == (350.5, 100.0, 0.25)


def test_a_reward_that_was_judged_while_generating_is_no_judging(tmp_path: Path) -> None:
    row = "step:{} - timing_s/gen:20.0 - timing_s/reward:{} - timing_s/step:30.0\n"
    assert log(tmp_path, row.format(1, 5.07e-05)).phases == {("generate",): [20]}
    assert log(tmp_path, row.format(1, 2.5)).phases == {("generate",): [20], ("sandbox",): [2.5]}


def test_openrlhf_times_several_phases_together(tmp_path: Path) -> None:
    found = log(tmp_path, "".join(OPENRLHF.format(n=n) for n in (1, 2)))
    assert found.framework == "openrlhf"
    assert found.phases[("log-prob", "reference", "value", "judge")] == [12.0, 12.0]
    assert found.phases[("train", "critic train")] == [30.0, 30.0]


def test_trl_lines_and_its_state_file(tmp_path: Path) -> None:
    found = log(
        tmp_path,
        "".join(TRL.format(seconds=s) for s in (20, 12, 13))
        + "{'train_runtime': 99.0, 'train_steps_per_second': 0.1}\n",
    )
    assert (found.framework, found.step_seconds, found.num_steps, found.response_tokens) == (
        "trl",
        [20, 12, 13],
        3,
        200,
    )
    history = [{"step": n, "step_time": 10.0 + n, "reward": 0.5} for n in (1, 2)]
    found = log(tmp_path, json.dumps({"log_history": history, "best_metric": None}), "trainer_state.json")
    assert (found.framework, found.step_seconds) == ("trl", [11.0, 12.0])


def test_a_progress_bar_times_steps_where_nothing_else_does(tmp_path: Path) -> None:
    bar = "\r".join(f" {n}%|█ | {n}/100 [{n * 90 // 60:02d}:{n * 90 % 60:02d}<10:00, 90.0s/it]" for n in range(1, 4))
    inner = "Fetching 9 files: 1/9 [00:01<00:09]\rFetching 9 files: 9/9 [00:08<00:00]\n"
    found = log(tmp_path, f"{inner}{bar}\n{{'loss': 0.5, 'epoch': 0.1}}\n")
    assert (found.step_seconds, found.step_key) == ([90, 90], "the progress bar")


def test_torchtitan_by_the_time_of_its_lines_each_step_once(tmp_path: Path) -> None:
    lines = [TITAN.format(n=n, second=n, rank=rank) for n in (10, 20, 30) for rank in (0, 1)]
    found = log(tmp_path, "".join(lines))
    assert (found.framework, found.step_seconds, found.tokens_per_second_and_gpu) == (
        "torchtitan",
        [1, 1],
        [5856.0] * 3,
    )
    assert found.notes == ("3 rows repeat a step, as ranks do: the first of each counts",)


def test_lines_of_json_ours_and_others(tmp_path: Path) -> None:
    ours = [
        {"at": "2026-01-01T00:00:00Z", "stage": "rl", "step": n, "of": 9, "phases": {"generate": 2.0}} for n in (1, 2)
    ]
    found = log(tmp_path, "".join(json.dumps(one) + "\n" for one in ours))
    assert (found.framework, found.phases) == ("clusterctl", {("generate",): [2.0, 2.0]})
    history = [{"_step": n, "_runtime": 100.0 + 7 * n, "train/loss": 0.5} for n in range(3)]
    found = log(tmp_path, "".join(json.dumps(one) + "\n" for one in history))
    assert (found.step_seconds, found.step_key) == ([7, 7], "_runtime between steps")


def test_a_table_that_wandb_exports(tmp_path: Path) -> None:
    table = '"Step","run-a - timing_s/gen","run-a - timing_s/gen__MIN","run-a - timing_s/step"\n1,30.5,30.5,60\n2,31.5,31.5,61\n'
    found = log(tmp_path, table, "wandb.csv")
    assert (found.phases, found.step_seconds) == ({("generate",): [30.5, 31.5]}, [60, 61])
    with pytest.raises(SpecError, match="holds 2 runs: run-a, run-b"):
        log(
            tmp_path,
            table.replace('"Step"', '"Step","run-b - timing_s/gen"')
            .replace("\n1,", "\n1,9,")
            .replace("\n2,", "\n2,9,"),
        )


def event(step: int, tag: str, value: float) -> bytes:
    scalar = b"\x0a" + bytes([len(tag)]) + tag.encode() + b"\x15" + struct.pack("<f", value)
    summary = b"\x0a" + bytes([len(scalar)]) + scalar
    body = (
        b"\x09" + struct.pack("<d", 1000.0 + step) + b"\x10" + bytes([step]) + b"\x2a" + bytes([len(summary)]) + summary
    )
    return struct.pack("<Q", len(body)) + b"\0" * 4 + body + b"\0" * 4


def test_an_event_file_of_tensorboard(tmp_path: Path) -> None:
    version = b"\x09" + struct.pack("<d", 1000.0) + b"\x1a\x0dbrain.Event:2"
    head = struct.pack("<Q", len(version)) + b"\0" * 4 + version + b"\0" * 4
    events = b"".join(event(n, tag, 8.0) for n in (1, 2) for tag in ("timing_s/gen", "timing_s/update_actor"))
    found = log(tmp_path, head + events + event(3, "timing_s/gen", 8.0)[:-9], "events.out.tfevents.1")
    assert found.phases == {("generate",): [8.0, 8.0], ("train",): [8.0, 8.0]}
    assert found.notes[0].startswith("broken, not used: line")


def test_a_resumed_run_counts_from_where_it_went_back(tmp_path: Path) -> None:
    steps = [(1, 30), (2, 31), (3, 32), (4, 33), (2, 41), (3, 42)]
    found = log(tmp_path, "".join(VERL.format(n=n, gen=float(gen)) for n, gen in steps))
    assert found.phases[("generate",)] == [30, 41, 42]
    assert "line 5 goes back to step 2, the run was resumed" in found.notes[-1]


def test_a_line_that_is_cut_off_does_not_count(tmp_path: Path) -> None:
    found = log(tmp_path, VERL.format(n=1, gen=30.0) + VERL.format(n=2, gen=31.0)[:120])
    assert (found.num_steps, found.notes) == (1, ("broken, not used: line 2",))
    found = log(tmp_path, TRL.format(seconds=3) + "{'loss': 0.1, 'step_t")
    assert (found.step_seconds, found.notes) == ([3], ("broken, not used: line 2",))
    found = log(tmp_path, "one\ntwo\n{'loss': 3x7}\n" + TRL.format(seconds=3))
    assert found.notes == ("broken, not used: line 3",)


def test_a_long_log_is_read_in_linear_time(tmp_path: Path) -> None:
    def seconds(steps: int) -> float:
        text = "".join(f"step:{n} - timing_s/step:1.5\n" for n in range(steps))
        began = time.process_time()
        assert log(tmp_path, text).num_steps == steps
        return time.process_time() - began

    assert seconds(20_000) < 20 * max(seconds(2000), 0.01)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.log", b"", "is empty"),
        ("run.log", b"hello\nworld\n", "has no line with figures of a step"),
        ("run.log", b"{'loss': 0.1, 'epo", "a step begins but never ends"),
        ("run.log", b"{'loss': 0.1, 'epoch': 1}\n", "no step says what it took; its rows have loss, epoch"),
        ("run.log", bytes(range(256)) * 40, "is a binary file, no log"),
        ("run.wandb", b"\0W&B\0", "is a binary file, no log"),
        ("x.json", b"[1, 2]", "is JSON, but no list of steps"),
        ("run.log", (VERL.format(n=1, gen=1.0) + OPENRLHF.format(n=1)).encode(), "holds figures of 2 frameworks: "),
    ],
)
def test_bad_logs_are_one_message(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        log(tmp_path, content, name)


def test_a_folder_is_refused_and_a_framework_can_be_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is a folder, not a log"):
        read_log(tmp_path)
    mixed = VERL.format(n=1, gen=1.0) + OPENRLHF.format(n=1)
    assert log(tmp_path, mixed, framework="verl").notes == ("1 rows of other frameworks than verl",)
    with pytest.raises(SpecError, match="has no figures of trl, but of openrlhf, verl"):
        log(tmp_path, mixed, framework="trl")
