"""TRL's own scripts with reports to the run: `python -m clusterctl_trl grpo --config FILE ...`, arguments as
`trl grpo` takes them.

A callback is added to the list from which every trainer of transformers takes its callbacks.  A run that was ended goes
on from the newest checkpoint of its output folder.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import clusterctl_reports
import transformers
from transformers.trainer_utils import get_last_checkpoint

NAMES = {
    "completions/mean_length": "response_tokens",
    "completions/clipped_ratio": "cut_share",
    "entropy": "entropy_nats",
    "mean_token_accuracy": "token_accuracy",
}
"""TRL's names of metrics -> those of dashboards; others keep theirs."""


class Reports(transformers.TrainerCallback):  # type: ignore[misc]  # no types come with it
    """A report for each step that TRL logs."""

    def __init__(self, first_phase: str) -> None:
        self.first_phase, self.phases = first_phase, clusterctl_reports.Phases()
        self.scores: list[float] = []

    def judged(self, scores: list[float | None] | None) -> None:
        """A batch is being judged (None), or has been."""
        self.phases.enter("sandbox" if scores is None else "train")
        self.scores += [score for score in scores or () if score is not None]

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """A new batch is generated, or taken."""
        self.phases.enter(self.first_phase)

    def on_log(self, _: Any, state: Any, __: Any, logs: dict[str, Any] | None = None, **___: Any) -> None:
        """Of a step: the last line of the log, with means of the whole run, is none."""
        if state.is_world_process_zero and logs and "loss" in logs:
            metrics = {NAMES.get(name, name): value for name, value in logs.items()}
            if self.scores:
                metrics["pass_at_1"] = sum(score >= 1.0 for score in self.scores) / len(self.scores)
            self.scores = []
            clusterctl_reports.report(state.global_step, state.max_steps, self.phases.take(), metrics)

    def on_train_end(self, arguments: Any, state: Any, *_: Any, **__: Any) -> None:
        """All steps are done."""
        if state.is_world_process_zero and state.global_step >= state.max_steps:
            clusterctl_reports.done(steps=state.global_step, checkpoints=arguments.output_dir)


def main() -> None:
    """Parses as TRL does, refusing what it doesn't know, and trains."""
    kind = sys.argv.pop(1)
    script = importlib.import_module(f"trl.scripts.{kind}")
    given = script.make_parser().parse_args_and_config()
    reports = Reports("generate" if kind == "grpo" else "train")
    transformers.trainer.DEFAULT_CALLBACKS.append(reports)
    if kind == "grpo":
        import clusterctl_rewards

        clusterctl_rewards.observers.append(reports.judged)
    arguments = next(each for each in given if isinstance(each, transformers.TrainingArguments))
    if arguments.resume_from_checkpoint is None and Path(arguments.output_dir).is_dir():
        arguments.resume_from_checkpoint = get_last_checkpoint(arguments.output_dir)
    script.main(*given)


if __name__ == "__main__":
    main()
