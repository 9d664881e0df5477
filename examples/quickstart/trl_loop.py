"""The same loop by TRL's GRPOTrainer on a tiny Llama, on CPU; needs the extra `train`.

TRL saves a checkpoint after every step; a small file beside them says which is the last whole one, with its report.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clusterctl.errors import StateError
from clusterctl.jobs.judge import Judgement, reward
from clusterctl.specfile.write import write_atomic
from examples.quickstart.loop import Settings, problems_of_step
from examples.quickstart.problems import PROBLEMS, Problem
from examples.quickstart.report import REPORTS, Phases, append_line, measure, report_of, say, show_step, write_result
from examples.quickstart.run_state import Progress, last_state
from examples.quickstart.tiny_llama import MAX_TOKENS, base_model, likeliest_programs, program_of, prompt_of

Judge = Callable[[Sequence[Problem], Sequence[str]], list[Judgement | None]]

CHECKPOINT = "checkpoint.json"
LEARNING_RATE = 7e-4
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}
"""Nothing is fetched, nothing is sent; one thread: the model is tiny, and the sandboxes want the CPUs."""


@dataclass(slots=True, kw_only=True)
class Loop:
    """What happens around TRL: phases are timed, programs judged, and a step is reported once it is saved."""

    run_dir: Path
    judge: Judge
    settings: Settings
    steps: int
    phases: Phases = field(default_factory=lambda: Phases("generate"))
    metrics: dict[str, float] = field(default_factory=dict)
    written: tuple[Sequence[Problem], Sequence[str]] = ((), ())
    """Problems and programs of the step."""

    def begin(self) -> None:
        """A step begins: TRL generates."""
        self.phases = Phases("generate")

    def rewards(self, completions: list[str], number: list[int], **_: Any) -> list[float | None]:
        """TRL's reward function: TRL leaves None out of a group's mean.  `number` is a column of the data set: the
        problem's place in PROBLEMS."""
        self.phases.enter("sandbox")
        problems = [PROBLEMS[n] for n in number]
        programs = [program_of(*pair) for pair in zip(problems, completions, strict=True)]
        self.written = problems, programs
        verdicts = self.judge(problems, programs)
        self.metrics = measure(verdicts)
        self.phases.enter("train")
        return [reward(verdict) for verdict in verdicts]

    def saved(self, step: int, entropy_nats: float) -> None:
        """TRL's checkpoint of the step is whole: say so, then report it."""
        report = report_of(step, self.steps, self.phases.end(), self.metrics | {"entropy_nats": entropy_nats})
        now = Progress(settings=asdict(self.settings), steps_done=step, last_report=json.dumps(report))
        write_atomic(self.run_dir / CHECKPOINT, json.dumps(asdict(now)))
        append_line(self.run_dir / REPORTS, now.last_report)
        show_step(self.run_dir, report, *self.written, every=self.settings.samples)


def load_progress(file: Path) -> Progress:
    """How far the run is, as the checkpoint's file says."""
    return Progress(**json.loads(file.read_text("utf-8")))


def run(run_dir: Path, judge: Judge, settings: Settings, steps: int) -> None:
    """Go on from the folder's checkpoint, or from a new model, until `steps` are done.

    Raises ClusterctlError; ImportError without the extra `train`.
    """
    os.environ.update(ENVIRONMENT)
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)  # of their calls of their own old names
    state = last_state(run_dir / CHECKPOINT, load_progress, asdict(settings))
    last = None if state is None else str(run_dir / "trl" / f"checkpoint-{state.steps_done}")
    if last is None:
        model, tokenizer = base_model(settings.seed)
    else:
        if not Path(last).is_dir():
            raise StateError(f"{last} is gone", hint="start again in a new folder")
        model, tokenizer = (kind.from_pretrained(last) for kind in (AutoModelForCausalLM, AutoTokenizer))
    say(f"TRL's GRPOTrainer; {sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens")
    if state is None or state.steps_done < steps:
        loop = Loop(run_dir=run_dir, judge=judge, settings=settings, steps=steps)
        _trainer(model, tokenizer, loop).train(resume_from_checkpoint=last)
    programs = likeliest_programs(model, tokenizer, PROBLEMS)
    write_result(run_dir, asdict(settings), zip(PROBLEMS, programs, judge(PROBLEMS, programs), strict=True))


def _trainer(model: Any, tokenizer: Any, loop: Loop) -> Any:
    """TRL's trainer: the loop of transformers.Trainer, with generation, advantages and loss of GRPO."""
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    class Callback(TrainerCallback):  # type: ignore[misc]  # no types come with it
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            loop.begin()

        def on_save(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
            entropy = next(row["entropy"] for row in reversed(state.log_history) if "entropy" in row)
            loop.saved(state.global_step, entropy)

    settings = loop.settings
    config = GRPOConfig(
        output_dir=str(loop.run_dir / "trl"),
        max_steps=loop.steps,
        seed=settings.seed,
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=settings.prompts * settings.samples,
        num_generations=settings.samples,
        max_completion_length=MAX_TOKENS,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        scale_rewards="batch",
        shuffle_dataset=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        save_strategy="steps",
        save_steps=1,
        save_total_limit=2,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
    )
    order = [problem for step in range(loop.steps) for problem in problems_of_step(settings, step)]
    rows = [{"prompt": prompt_of(problem), "number": PROBLEMS.index(problem)} for problem in order]
    trainer = GRPOTrainer(
        model=model,
        args=config,
        processing_class=tokenizer,
        reward_funcs=loop.rewards,
        train_dataset=Dataset.from_list(rows),
        callbacks=[Callback()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
