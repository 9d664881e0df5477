"""What a stage asks for: tokens, samples, sandboxes and API calls against arithmetic done by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_world import API_ROLLOUT, EVALUATE, RLCEF, ROLLOUT, SFT, SYNTHESIZE, changed, spec, world

from planners.physics.codes import ASYNC, COLOCATED, DISAGGREGATED
from planners.physics.lengths import log_sd_from_p95
from planners.spec.distributions import Durations
from planners.workload.sandbox_work import SECONDS_P95_RATIO, STREAMED_OVERLAP, SandboxStarts
from planners.workload.stage_builder import stage_work
from planners.workload.stage_work import StageWork

QWEN = "Qwen/Qwen2.5-7B-Instruct"


def work(stage: dict[str, Any], *, starts: SandboxStarts | None = None, **fields: Any) -> StageWork:
    return stage_work(spec(changed(stage, **fields)).stages[0], world().find_model, starts=starts)


# ---- rlcef


def test_a_step_of_rlcef() -> None:
    step = work(RLCEF)
    main = step.generations[0]
    assert (step.unit, step.units) == ("step", 100)
    assert (main.samples, main.samples_per_prompt, main.turns) == (512, 8, 1)
    assert (main.prompt_tokens, main.response_tokens, main.max_response_tokens) == (400, 1000, 8192)
    assert np.exp(1.645 * main.response_log_sd - main.response_log_sd**2 / 2) == pytest.approx(3.0, rel=0.01)
    assert step.training is not None
    assert step.training.seq_len == 1400
    assert step.training.reference
    assert not step.training.critic
    assert step.schedules == (COLOCATED, DISAGGREGATED), "nobody asked for stale samples"
    assert step.outcomes == {"rewarded samples": 51_200}
    assert step.missing == {}
    assert step.needs_gpus


def test_algorithms_bring_their_models() -> None:
    ppo, dapo = work(RLCEF, algorithm="ppo").training, work(RLCEF, algorithm="dapo").training
    assert ppo is not None
    assert dapo is not None
    assert (ppo.critic, ppo.reference) == (True, True)
    assert (dapo.critic, dapo.reference) == (False, False)


def test_schedules_follow_what_is_asked() -> None:
    assert work(RLCEF, staleness_steps=2).schedules == (COLOCATED, DISAGGREGATED, ASYNC)
    assert work(RLCEF, schedule="async", staleness_steps=2).schedules == (ASYNC,)
    assert (work(RLCEF, schedule="async").schedules, work(RLCEF, schedule="async").staleness_steps) == ((ASYNC,), 1)
    assert work(RLCEF, schedule="async", staleness_steps=0).schedules == (DISAGGREGATED,)
    assert work(RLCEF, schedule="disaggregated").schedules == (DISAGGREGATED,)
    assert work(RLCEF, schedule="async", staleness_steps=2).staleness_steps == 2


def test_oversampling_a_critic_and_failures_change_the_runs_in_sandboxes() -> None:
    box = {"seconds": {"mean": 3, "p95": 10}, "failure_share": 0.0}
    plain = work(RLCEF, sandbox=box).sandbox_work
    assert plain is not None
    assert plain.calls == 512
    over = work(RLCEF, sandbox=box, oversampling=1.5).sandbox_work
    twice = work(RLCEF, sandbox=box | {"calls_per_sample": 2}).sandbox_work
    failing = work(RLCEF, sandbox=box | {"failure_share": 0.2}).sandbox_work
    critic = {"model": QWEN, "replaced_share": 0.75}
    replaced = work(RLCEF, sandbox=box, outcome_critic=critic)
    assert [need.calls for need in (over, twice, failing) if need] == [768, 1024, pytest.approx(640)]
    assert replaced.sandbox_work is not None
    assert replaced.sandbox_work.calls == 128
    assert replaced.critic_forward is not None


def test_the_unknown_length_is_unknown_and_said() -> None:
    unknown = work(RLCEF, response_tokens=None)
    assert np.isnan(unknown.generations[0].response_tokens)
    assert list(unknown.missing) == ["rlcef.response_tokens"]
    assert "rlcef.response_tokens" in {row.name for row in unknown.assumed}


def test_judges_run_on_their_share_here_or_behind_an_api() -> None:
    here = {"name": "style", "model": QWEN, "prompt_tokens": 1500, "response_tokens": 100, "share": 0.5}
    api = {"name": "safety", "api": {"name": "acme-coder-1"}, "prompt_tokens": 2000, "response_tokens": 50}
    step = work(RLCEF, judges=[here, api, here])
    assert [generation.role for generation in step.generations] == ["generate", "judge style", "judge 3"]
    assert (step.generations[1].samples, step.generations[1].prompt_tokens) == (256, 1500)
    use = step.apis[0]
    assert (use.role, use.requests, use.input_tokens, use.output_tokens) == ("judge safety", 512, 512 * 2000, 512 * 50)


def test_evaluations_and_checkpoints_pause_the_run() -> None:
    run = work(
        RLCEF, evaluate={"every_steps": 10, "prompts": 500, "samples": 4}, checkpoint={"every_steps": 30, "keep": 0}
    )
    assert run.evaluate_every == 10
    assert run.evaluation is not None
    assert (run.evaluation.samples, run.evaluation.samples_per_prompt) == (2000, 4)
    assert run.checkpoints_kept == 3


# ---- data


def test_synthesis_writes_tries_and_keeps() -> None:
    job = work(
        SYNTHESIZE,
        candidates=None,
        items=9000,
        yields={"parses": 0.9, "tests_pass": 0.5},
        student={"model": QWEN, "attempts": 4, "response_tokens": 700},
        reasoning_tokens=500,
    )
    teacher, student = job.generations
    assert job.units == 1
    assert teacher.samples == pytest.approx(20_000)
    assert teacher.response_tokens == 2000
    assert (student.role, student.samples, student.response_tokens) == ("student", pytest.approx(80_000), 700)
    assert job.sandbox_work is not None
    assert job.sandbox_work.trajectories == pytest.approx(100_000)
    assert job.outcomes["accepted items"] == pytest.approx(9000)


@given(
    tokens=st.integers(10**6, 10**12),
    seq_len=st.integers(128, 65_536),
    batch=st.integers(1, 4096),
    epochs=st.floats(0.1, 10),
    share=st.floats(0.1, 1),
)
def test_updates_cover_the_tokens_with_their_padding(
    tokens: int, seq_len: int, batch: int, epochs: float, share: float
) -> None:
    update = work(
        SFT,
        samples=None,
        sample_tokens=None,
        tokens=tokens,
        seq_len=seq_len,
        global_batch_samples=batch,
        epochs=epochs,
        packing_share=share,
    )
    assert update.training is not None
    slots = max(tokens * epochs / share, seq_len)
    assert update.units * update.training.batch_sequences * seq_len == pytest.approx(slots)
    assert update.training.batch_sequences <= batch
    assert update.units >= 1
    assert update.outcomes["million tokens"] == pytest.approx(tokens * epochs / 1e6)


def test_batches_that_are_not_stated_are_assumed_and_said() -> None:
    stage = {"kind": "pretrain", "model": QWEN, "tokens": 10**11, "seq_len": 4096}
    update = work(stage)
    assert update.training is not None
    assert update.training.batch_sequences * 4096 == pytest.approx(4e6, rel=0.01)
    assert [row.name for row in update.assumed] == ["pretrain.global_batch_samples"]
    assert not update.training.post_training


def test_a_reward_model_reads_its_samples() -> None:
    stage = {"kind": "reward-model", "model": QWEN, "samples": 100_000, "sample_tokens": 1500, "seq_len": 4096}
    update = work(stage, global_batch_samples=100)
    assert update.units == pytest.approx(1000)
    assert update.outcomes == {"labelled samples": 100_000}


def test_no_update_of_a_reward_model_trains_on_more_samples_than_there_are() -> None:
    stage = {"kind": "reward-model", "model": QWEN, "samples": 100, "sample_tokens": 1500, "seq_len": 4096}
    update = work(stage, global_batch_samples=256)
    assert update.training is not None
    assert (update.units, update.training.batch_sequences) == (1, 100)


# ---- agents


def test_agents_hold_a_sandbox_for_all_their_turns() -> None:
    job = work(ROLLOUT)
    main = job.generations[0]
    assert (main.samples, main.samples_per_prompt, main.turns) == (400, 2, 30)
    assert main.response_tokens == 30 * 300
    assert main.max_response_tokens == 32_768 - 5000, "the prompt is part of the context"
    assert job.sandbox_work is not None
    assert job.sandbox_work.stateful
    assert job.sandbox_work.trajectories == 400
    assert job.outcomes == {"attempts": 400, "solved tasks": pytest.approx(120)}


def test_a_stated_tail_of_a_turn_widens_the_whole_attempt_a_little() -> None:
    """30 turns whose tokens vary by x/÷ 2.7 each: their mean varies by 18 %."""
    plain, tailed = (
        work(ROLLOUT, response_tokens={"mean": 300} | tail).generations[0] for tail in ({}, {"p95": 900.0})
    )
    assert plain.response_log_sd == 0.5
    one = log_sd_from_p95(300, 900)
    assert tailed.response_log_sd == pytest.approx(np.sqrt(0.25 + np.log1p(np.expm1(one**2) / 30)))
    assert 0.5 < tailed.response_log_sd < 0.6


def test_lengths_of_one_turn_do_not_cut_the_whole_attempt() -> None:
    measured = work(ROLLOUT, response_tokens={"mean": 300, "p95": 900, "max": 2000, "measured": 500})
    assert measured.generations[0].max_response_tokens == 32_768 - 5000
    benchmark = changed(EVALUATE, benchmark="swebench-verified", response_tokens={"mean": 300, "p95": 900, "max": 2000})
    turns = work(benchmark).generations[0]
    assert turns.max_response_tokens == turns.turns * 2000
    single = work(EVALUATE, response_tokens={"mean": 300, "p95": 900, "max": 2000})
    assert single.generations[0].max_response_tokens == 2000


@given(
    turns=st.integers(1, 60),
    prompt=st.integers(1, 10_000),
    response=st.integers(1, 1000),
    answer=st.integers(0, 2000),
    attempts=st.integers(1, 4),
)
def test_an_api_bills_the_history_again_in_every_turn(
    turns: int, prompt: int, response: int, answer: int, attempts: int
) -> None:
    job = work(
        API_ROLLOUT,
        turns=turns,
        prompt_tokens=prompt,
        response_tokens=response,
        observation_tokens=answer,
        attempts=attempts,
    )
    use = job.apis[0]
    samples = 200 * attempts
    sent, fresh, context = 0, 0, 0
    for turn in range(turns):
        context = prompt if turn == 0 else context + response + answer
        sent += context
        fresh += context if turn == 0 else response + answer
    assert use.input_tokens + use.cached_input_tokens == pytest.approx(samples * sent)
    assert use.input_tokens == pytest.approx(samples * fresh)
    assert use.output_tokens == samples * turns * response
    assert not job.needs_gpus
    stated = work(API_ROLLOUT, turns=turns, cached_share=0.25).apis[0]
    assert stated.cached_input_tokens == pytest.approx(stated.input_tokens / 3)


# ---- sandboxes


def test_seconds_without_a_tail_get_one_and_limits_cut_it() -> None:
    need = work(RLCEF, sandbox={"seconds": 3, "time_limit_seconds": 60}).sandbox_work
    assert need is not None
    assert need.service.p95_seconds == 3 * SECONDS_P95_RATIO
    cut = work(RLCEF, sandbox={"seconds": {"mean": 3, "p95": 50}, "time_limit_seconds": 10}).sandbox_work
    assert cut is not None
    assert cut.service.p95_seconds == cut.service.limit_seconds == 10


def test_serial_code_overlaps_nothing_and_runs_alone() -> None:
    serial = work(RLCEF, sandbox={"serial": True, "concurrency": 64}).sandbox_work
    streamed = work(RLCEF, sandbox={"concurrency": 64}).sandbox_work
    free = work(RLCEF).sandbox_work
    assert serial is not None
    assert streamed is not None
    assert free is not None
    assert (serial.overlap_share, serial.most_at_once) == (0.0, 1.0)
    assert (streamed.overlap_share, streamed.most_at_once) == (STREAMED_OVERLAP, 64)
    assert free.most_at_once == float("inf")


def test_measured_starts_fill_what_a_process_sandbox_leaves_open() -> None:
    starts = SandboxStarts(start_seconds=Durations(mean=0.02, p95=0.03), per_second_per_node=150.0, source="measured")
    filled = work(RLCEF, starts=starts, sandbox={"start_seconds": 0.5})
    assert filled.sandbox_work is not None
    assert (filled.sandbox_work.start_seconds.mean, filled.sandbox_work.starts_per_second_per_node) == (0.5, 150.0)
    assert [(row.name, row.value) for row in filled.assumed if row.source == "measured"] == [
        ("rlcef.sandbox.starts_per_second_per_node", "150")
    ]
    both = work(RLCEF, starts=starts)
    assert both.sandbox_work is not None
    assert (both.sandbox_work.start_seconds.mean, len([row for row in both.assumed if row.source == "measured"])) == (
        0.02,
        2,
    )


def test_starts_that_nobody_measured_are_said_to_be_so() -> None:
    asked = work(RLCEF)
    said = work(RLCEF, starts=SandboxStarts(source="not measured"))
    assert said.sandbox_work == asked.sandbox_work
    assert len([row for row in said.assumed if row.source.endswith("; not measured")]) == 2
    held = work(ROLLOUT, starts=SandboxStarts(source="not measured"))
    assert held == work(ROLLOUT), "containers, not processes"
