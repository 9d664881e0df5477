"""SkyRL's own trainer with the run's rewards and reports: `python -m clusterctl_skyrl KEY=VALUE ...`, as SkyRL takes
them.

The environment `clusterctl` judges an answer in the sandboxes; the tracker tells each step to the run.  Both are what
SkyRL lets its users replace.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import clusterctl_mixed_rewards
import clusterctl_reports
import ray
from skyrl.train.config import SkyRLTrainConfig
from skyrl.train.entrypoints.main_base import BasePPOExp
from skyrl.train.utils import validate_cfg
from skyrl.train.utils.utils import initialize_ray
from skyrl_gym.envs import register
from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput

PHASES = {
    "timing/generate": "generate",
    "timing/fwd_logprobs_values_reward": "log-prob",
    "timing/policy_train": "train",
    "timing/critic_train": "critic train",
    "timing/sync_weights": "weight sync",
}
METRICS = {"reward/avg_raw_reward": "reward", "generate/avg_num_tokens": "response_tokens"}
"""SkyRL's names -> those of plans and dashboards; others keep theirs."""


class CodeEnvironment(BaseTextEnv):  # type: ignore[misc]  # no types come with it
    """One answer, judged by the row's `tests`."""

    def __init__(self, env_config: Any = None, extras: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.row = dict(extras or {})
        self.metrics: dict[str, float] = {}

    def step(self, action: str) -> Any:
        """The reward of an answer."""
        reward, self.metrics = clusterctl_mixed_rewards.score_row(self.row, action)
        return BaseTextEnvStepOutput(observations=[], reward=reward, done=True, metadata=dict(self.metrics))

    def get_metrics(self) -> dict[str, float]:
        """SkyRL takes the mean over the samples that have one."""
        return self.metrics


class Told:
    """A tracker that also tells the run."""

    def __init__(self, tracker: Any, steps: int) -> None:
        self._tracker, self._steps = tracker, steps

    def log(self, data: Mapping[str, Any], step: int, commit: bool = False) -> None:
        """A step's metrics and timings."""
        self._tracker.log(data, step, commit)
        phases = {PHASES[name]: seconds for name, seconds in data.items() if name in PHASES}
        if phases:
            named = {METRICS.get(name, name): value for name, value in data.items() if name not in PHASES}
            metrics = {name.removeprefix("environment/"): value for name, value in named.items()}
            clusterctl_reports.report(step, self._steps, phases, metrics)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tracker, name)


class Experiment(BasePPOExp):  # type: ignore[misc]  # no types come with it
    """SkyRL's experiment with our tracker."""

    def get_tracker(self) -> Any:
        """SkyRL's, and the run's reports."""
        return Told(super().get_tracker(), self.cfg.trainer.max_training_steps or 0)


@ray.remote(num_cpus=1)
def train(cfg: Any) -> None:
    """Trains; in a worker, as SkyRL does."""
    register(id="clusterctl", entry_point="clusterctl_skyrl:CodeEnvironment")
    Experiment(cfg).run()
    clusterctl_reports.done(steps=cfg.trainer.max_training_steps, checkpoints=cfg.trainer.ckpt_path)


def main() -> None:
    """Parses and checks as SkyRL does, and trains."""
    cfg = SkyRLTrainConfig.from_cli_overrides(sys.argv[1:])
    validate_cfg(cfg)
    initialize_ray(cfg)
    ray.get(train.remote(cfg))


if __name__ == "__main__":
    import clusterctl_skyrl  # not `__main__`: Ray's workers import it by its name

    clusterctl_skyrl.main()
