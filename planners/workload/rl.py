"""The work of stage `rlcef`, on GPUs or, with the quickstart's policies, on this machine: one RL step is the unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from planners.domain import ModelShape
from planners.physics.codes import ASYNC, COLOCATED, DISAGGREGATED, SCHEDULES, SYNC_METHODS
from planners.physics.columns import UNKNOWN
from planners.spec.profiles import Assumed
from planners.spec.stage_options import ProfileName
from planners.spec.stages_rl import RlcefStage
from planners.workload.frameworks import as_the_framework_runs_it
from planners.workload.response_class import natural_class
from planners.workload.sandbox_work import TOOL_SECONDS, sandbox_work
from planners.workload.served_model import LENGTHS, FindModel, ServedModel, hosted, length_fields, shown, unstated
from planners.workload.stage_work import Generation, HostWork, StageWork, Training

RESPONSE_UNKNOWN_SD = 0.9
"""Log standard deviation of an RL step's time when no response length is given (docs/ACCURACY.md, partial cases)."""

QUICKSTART = "clusterctl/quickstart"
QUICKSTART_LLAMA = "clusterctl/quickstart-llama"
"""The same loop by TRL's trainer on a tiny Llama."""
SMOKE, SMOKE_TINY, SMOKE_QWEN3 = "clusterctl/smoke", "clusterctl/smoke-tiny", "clusterctl/smoke-tiny-qwen3"
"""Models small enough for a framework's own trainer on CPUs: SmolLM2 135M, and two layers of random weights."""
MEASURED = "measured on 2 vCPUs, tools/benchmarks/results/quickstart.md"
MEASURED_SMOKE = "measured on 2 vCPUs, 32 tokens a sample, tests/engines/test_frameworks_smoke.py"
HOST_SPEEDS = {
    QUICKSTART: HostWork(generate_seconds=7.0e-5, train_seconds=2.7e-4, start_seconds=1.0, source=MEASURED),
    QUICKSTART_LLAMA: HostWork(generate_seconds=1.9e-3, train_seconds=1.9e-3, start_seconds=33.0, source=MEASURED),
    SMOKE: HostWork(generate_seconds=2.0, train_seconds=3.0, start_seconds=90.0, source=MEASURED_SMOKE),
    SMOKE_TINY: HostWork(generate_seconds=0.1, train_seconds=0.3, start_seconds=60.0, source=MEASURED_SMOKE),
    SMOKE_QWEN3: HostWork(generate_seconds=3.0, train_seconds=10.0, start_seconds=90.0, source=MEASURED_SMOKE),
}
"""By model, for one sample.  A core makes samples one after the other, so its seconds grow with their number."""


def rlcef_work(stage: RlcefStage, find_model: FindModel) -> StageWork:
    """Everything one RL step needs.  Raises whatever `find_model` raises for an unknown model."""
    if str(stage.model) in HOST_SPEEDS:
        return _quickstart_work(stage)
    stage = as_the_framework_runs_it(stage)
    model = find_model(stage.model)
    samples = float(stage.prompts_per_step * stage.samples_per_prompt)
    main = _generate(stage, model, samples)
    critic = stage.outcome_critic
    profile: ProfileName = "judge" if stage.turns == 1 else "swe"
    replaced = critic.replaced_share if critic else 0.0
    sandboxes = sandbox_work(stage.sandbox, profile, samples=samples * stage.oversampling, replaced_share=replaced)
    judges, apis = hosted(_judges(stage, samples), find_model, stage.rollout)
    schedules = tuple(SCHEDULES.values()) if stage.schedule == "auto" else (SCHEDULES[stage.schedule],)
    if stage.steps_behind == 0:  # pools that may not lag behind each other run in lockstep
        schedules = tuple(dict.fromkeys(DISAGGREGATED if each == ASYNC else each for each in schedules))
    evaluation = None
    if stage.evaluate is not None:
        each = float(stage.evaluate.samples)
        problems = replace(main, role="evaluate", samples=stage.evaluate.prompts * each, samples_per_prompt=each)
        evaluation = replace(problems, generated_per_used=1.0)
    return StageWork(
        stage=stage.name,
        kind=stage.kind,
        title=f"{stage.algorithm.upper()} on {shown(stage.model, model)}, {stage.steps:,} steps",
        unit="step",
        units=float(stage.steps),
        generations=(main, *(judge.beside_another() for judge in judges)),
        training=_learning(stage, model, main),
        sandbox_work=sandboxes,
        apis=apis,
        critic_forward=find_model(critic.model) if critic else None,
        schedules=schedules,
        rollout_share=stage.rollout_share,
        staleness_steps=float(stage.steps_behind),
        evaluation=evaluation,
        evaluate_every=float(stage.evaluate.every_steps) if stage.evaluate else 0.0,
        checkpoints_kept=float(stage.checkpoint.keep or stage.steps // stage.checkpoint.every_steps),
        assumed=(*_assumed(stage), *sandboxes.assumed),
        missing={} if stage.response_tokens else {"response_tokens": RESPONSE_UNKNOWN_SD},
        outcomes={"rewarded samples": samples * stage.steps},
    )


def _quickstart_work(stage: RlcefStage) -> StageWork:
    """One RL step is the unit.  Its seconds are proportional to the samples; the sandboxes are the larger part."""
    speed = HOST_SPEEDS[str(stage.model)]
    samples = float(stage.prompts_per_step * stage.samples_per_prompt)
    sandboxes = sandbox_work(stage.sandbox, "judge", samples=samples)
    return StageWork(
        stage=stage.name,
        kind=stage.kind,
        title=f"GRPO on a policy for this machine, {stage.steps:,} steps",
        unit="step",
        units=float(stage.steps),
        sandbox_work=replace(sandboxes, overlap_share=0.0),  # judged when all are written
        host=replace(
            speed, generate_seconds=samples * speed.generate_seconds, train_seconds=samples * speed.train_seconds
        ),
        schedules=(COLOCATED,),
        assumed=sandboxes.assumed,
        outcomes={"rewarded samples": samples * stage.steps},
    )


def _generate(stage: RlcefStage, model: ModelShape, samples: float) -> Generation:
    mean, spread, longest = length_fields(stage.response_tokens, float(stage.max_response_tokens))
    turns = float(stage.turns)
    tool = stage.tool_seconds.mean if stage.tool_seconds else TOOL_SECONDS
    return Generation(
        role="generate",
        model=model,
        policy=True,
        options=stage.rollout,
        samples=samples,
        prompt_tokens=max(stage.prompt_tokens.mean, 1.0),
        response_tokens=mean,
        natural_class=natural_class(shown(stage.model, model), turns=turns),
        response_log_sd=spread,
        max_response_tokens=longest,
        samples_per_prompt=float(stage.samples_per_prompt),
        turns=turns,
        tool_seconds_per_turn=tool if turns > 1 else 0.0,
        tool_tokens_per_turn=stage.observation_tokens.mean if stage.observation_tokens else 0.0,
        generated_per_used=stage.oversampling,
    )


def _learning(stage: RlcefStage, model: ModelShape, main: Generation) -> Training:
    return Training(
        model=model,
        options=stage.train,
        rl=True,
        seq_len=main.prompt_tokens + main.likely_response_tokens,
        longest_sequence=main.prompt_tokens + main.max_response_tokens + (main.turns - 1.0) * main.tool_tokens_per_turn,
        batch_sequences=0.0,
        updates_per_step=float(stage.optimizer_steps_per_step),
        epochs=float(stage.epochs_per_step),
        critic=stage.trains_critic,
        old_log_prob=stage.old_log_prob != "rollout",
        sync_method=UNKNOWN if stage.sync_method is None else SYNC_METHODS[stage.sync_method],
        reference=stage.uses_reference,
    )


def _judges(stage: RlcefStage, samples: float) -> Iterator[ServedModel]:
    for number, judge in enumerate(stage.judges, 1):
        named = [other.name for other in stage.judges[:number]].count(judge.name) == 1 and judge.name
        role = f"judge {named or number}"
        if judge.weight > 0:
            yield ServedModel(
                role,
                judge,
                samples * judge.share,
                judge.prompt_tokens,
                judge.response_tokens,
                assumed=unstated(judge, *LENGTHS),
            )


def _assumed(stage: RlcefStage) -> tuple[Assumed, ...]:
    rows = []
    if "prompt_tokens" not in stage.model_fields_set:
        rows.append(("prompt_tokens", f"{stage.prompt_tokens.mean:g}", "assumption: a short problem statement"))
    if stage.response_tokens is None:
        rows.append(("response_tokens", "by the longest allowed response", "fitted share of the cap; docs/ACCURACY.md"))
    elif stage.response_tokens.p95 is None:
        rows.append(("response_tokens.p95", "a log standard deviation of 0.8", "docs/ACCURACY.md, response_log_sd"))
    if stage.schedule == "async" and stage.staleness_steps is None:
        rows.append(("staleness_steps", f"{stage.steps_behind}", "assumption: as frameworks begin with"))
    if stage.turns > 1 and stage.tool_seconds is None:
        rows.append(("tool_seconds", f"{TOOL_SECONDS:g}", "assumption"))
    return tuple(Assumed(name=name, value=value, source=source) for name, value, source in rows)
