"""TRL's own scripts with reports to the run: `python -m clusterctl_trl grpo --config FILE ...`, as `trl grpo` takes it.

The callback is added to the list from which every transformers trainer takes its callbacks.  A run that was ended goes
on from the newest checkpoint of its output folder.
"""

import importlib
import sys

import clusterctl_reports
import transformers
from transformers.trainer_utils import get_last_checkpoint

NAMES = {"reward": "reward", "completions/mean_length": "response_tokens", "entropy": "entropy_nats", "kl": "kl"}
"""TRL's names of metrics -> those of the dashboard; others go under their own."""


class Reports(transformers.TrainerCallback):
    """A report for each step that TRL logs; the rewards' module says when the sandboxes work."""

    def __init__(self):
        self.phases, self.rewards = clusterctl_reports.Phases(), []

    def judged(self, rewards):
        """Before a batch is judged (None) and after."""
        self.phases.enter("sandbox" if rewards is None else "train")
        self.rewards += [reward for reward in rewards or () if reward is not None]

    def on_step_begin(self, args, state, control, **_):
        self.phases.enter("generate" if self.observes else "train")

    def on_log(self, args, state, control, logs=None, **_):
        if not state.is_world_process_zero or "loss" not in (logs or {}):
            return
        metrics = {NAMES.get(name, name): value for name, value in logs.items()}
        if self.rewards:
            metrics["pass_at_1"] = sum(reward >= 1.0 for reward in self.rewards) / len(self.rewards)
        self.rewards = []
        clusterctl_reports.report(state.global_step, state.max_steps, self.phases.take(), metrics)

    def on_train_end(self, args, state, control, **_):
        if state.is_world_process_zero:
            clusterctl_reports.done(steps=state.global_step, checkpoints=args.output_dir)

    @property
    def observes(self):
        """Whether rewards are judged, so that generation is a phase of its own."""
        import clusterctl_rewards

        return self.judged in clusterctl_rewards.observers


def main():
    """Parses as TRL does, and trains."""
    kind = sys.argv.pop(1)
    script = importlib.import_module(f"trl.scripts.{kind}")
    given = script.make_parser().parse_args_and_config(fail_with_unknown_args=False)
    reports = Reports()
    if kind == "grpo":
        import clusterctl_rewards

        clusterctl_rewards.observers.append(reports.judged)
    transformers.trainer.DEFAULT_CALLBACKS.append(reports)
    arguments = next(each for each in given if isinstance(each, transformers.TrainingArguments))
    arguments.resume_from_checkpoint = arguments.resume_from_checkpoint or _last(arguments.output_dir)
    script.main(*given)


def _last(folder):
    try:
        return get_last_checkpoint(folder)
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    main()
