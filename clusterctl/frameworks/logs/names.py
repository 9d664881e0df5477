"""What frameworks call the seconds of a step and its phases, its lengths and its reward.

Sources, each read in its repository: verl/trainer/ppo/{ray_trainer,metric_utils}.py; openrlhf/trainer/ppo_trainer.py;
trl/trainer/grpo_trainer.py; skyrl/train/trainer.py; nemo_rl/algorithms/grpo.py; torchtitan/components/metrics.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from clusterctl.frameworks.launch import Name

FrameworkName = Name | str
_SCORING = ("log-prob", "reference", "value", "judge")
"""Forward passes over the samples, which some frameworks time together."""

PHASES: Mapping[str, tuple[FrameworkName, tuple[str, ...]]] = {
    "timing_s/gen": ("verl", ("generate",)),
    "timing_s/reward": ("verl", ("sandbox",)),
    "timing_s/old_log_prob": ("verl", ("log-prob",)),
    "timing_s/ref": ("verl", ("reference",)),
    "timing_s/values": ("verl", ("value",)),
    "timing_s/update_actor": ("verl", ("train",)),
    "timing_s/update_critic": ("verl", ("critic train",)),
    "timing_s/update_weights": ("verl", ("weight sync",)),
    "timing_s/param_sync": ("verl", ("weight sync",)),
    "timing/generation": ("openrlhf", ("generate",)),
    "timing/make_experience": ("openrlhf", _SCORING),
    "timing/ppo_train": ("openrlhf", ("train", "critic train")),
    "timing/broadcast": ("openrlhf", ("weight sync",)),
    "timing/generate": ("skyrl", ("generate",)),
    "timing/fwd_logprobs_values_reward": ("skyrl", _SCORING),
    "timing/train_critic_and_policy": ("skyrl", ("train", "critic train")),
    "timing/policy_train": ("skyrl", ("train",)),
    "timing/critic_train": ("skyrl", ("critic train",)),
    "timing/sync_weights": ("skyrl", ("weight sync",)),
    "timing/train/generation": ("nemo-rl", ("generate",)),
    "timing/train/policy_and_reference_logprobs": ("nemo-rl", ("log-prob", "reference")),
    "timing/train/policy_training": ("nemo-rl", ("train", "critic train")),
    "timing/train/reward_calculation": ("nemo-rl", ("sandbox",)),
    "timing/train/weight_sync": ("nemo-rl", ("weight sync",)),
    "timing/train/prepare_for_generation/transfer_and_update_weights": ("nemo-rl", ("weight sync",)),
}
"""Name -> whose it is, and the planned phases that these seconds hold together."""

LEAST_REWARD_SECONDS = 0.01
"""A shorter reward phase only collects what was judged while generating, as verl's agent loop does: not a judging."""

STEP_SECONDS: Mapping[str, FrameworkName] = {
    "timing_s/step": "verl", "perf/time_per_step": "verl", "timing/step_total": "openrlhf", "timing/step": "skyrl",
    "timing/train/total_step_time": "nemo-rl", "step_time": "trl", "time_metrics/end_to_end(s)": "torchtitan",
    "step_seconds": "json", "seconds_per_step": "json", "step_time_s": "json",
}  # fmt: skip
RESPONSE_TOKENS = (
    "response_length/mean", "completions/mean_length", "completions/mean_terminated_length", "completion_length",
    "mean_completion_length", "response_length", "generate/avg_num_tokens", "train/mean_gen_tokens_per_sample",
    "mean_gen_tokens_per_sample", "response_tokens",
)  # fmt: skip
PROMPT_TOKENS = ("prompt_length/mean", "prompt_tokens")
REWARDS = ("critic/score/mean", "critic/rewards/mean", "reward/avg_raw_reward", "reward")
STEP_NUMBERS = (
    "training/global_step",
    "global_step",
    "train/global_step",
    "step",
    "_step",
    "Step",
    "trainer/global_step",
)
TIMES = ("_runtime", "_timestamp", "wall_time")
"""Seconds since a start, of a step's end; `_runtime` first, because clocks jump."""
TOKENS_PER_SECOND_AND_GPU = ("titan/tps", "throughput(tps)")
ELAPSED = "tqdm/elapsed"
BAR_LENGTH = "tqdm/total"
"""Our names for the seconds that a progress bar has counted, and for the steps that it counts to."""
PER_SECOND = "train_steps_per_second"
"""Of transformers' Trainer, at the end of a run."""
OWN = "phases."
"""Before a phase's name, in the reports of clusterctl's own jobs."""


def known(key: str) -> str:
    """A key by the name that it has here: W&B puts `train/` before those of transformers, a run's name before all."""
    key = key.rpartition(" - ")[2].strip()
    short = key.removeprefix("train/")
    is_known = short in PHASES or short in STEP_SECONDS or short in RESPONSE_TOKENS or short == "reward"
    return short if is_known and key not in PHASES and key not in STEP_SECONDS else key
