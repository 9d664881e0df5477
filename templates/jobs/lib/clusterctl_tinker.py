"""GRPO on CPU by SkyRL's Tinker API on JAX: `python clusterctl_tinker.py SETTINGS.json`.

SkyRL's server is started as a child, its client samples, our sandboxes judge, and the server takes a step on the
advantages.  For smoke runs: one that was ended begins again.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import clusterctl_reports
import clusterctl_rewards

START_SECONDS = 240.0
KEY = "tml-local"
"""The client refuses keys of another form; the server takes any."""


def main() -> None:
    """All steps; writes the result."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in Path(settings["data"]).read_text(encoding="utf-8").splitlines()]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix}
    server = subprocess.Popen(server_command(settings, url), env=environment)
    try:
        wait_for(url, server)
        loop(settings, rows, url)
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()


def server_command(settings: dict[str, Any], url: str) -> list[str]:
    """By `uv run`: SkyRL's server reads its parent's command line to start its engine in the same way."""
    backend = {"max_lora_adapters": 2, "max_lora_rank": settings["lora_rank"], "enforce_eager": True}
    python = ["uv", "run", "--no-project", "--offline", "--python", sys.executable, "--", "python"]
    options = {
        "--base-model": settings["weights"],
        "--backend": "jax",
        "--backend-config": json.dumps(backend),
        "--host": "127.0.0.1",
        "--port": url.rpartition(":")[2],
        "--database-url": f"sqlite:///{os.path.abspath('tinker.db')}",  # else it lies in the environment
        "--checkpoints-base": os.path.abspath(os.environ.get("CLUSTERCTL_CHECKPOINTS", "checkpoints")),
    }
    return [*python, "-m", "skyrl.tinker.api", *(word for pair in options.items() for word in pair)]


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Until the server answers.  Raises SystemExit where it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SystemExit(f"error: SkyRL's server ended with {server.returncode}")
        try:
            with urllib.request.urlopen(f"{url}/api/v1/healthz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1.0)
    raise SystemExit(f"error: SkyRL's server does not answer for {START_SECONDS:g} s")


def loop(settings: dict[str, Any], rows: list[dict[str, Any]], url: str) -> None:
    """One step after the other: sample, judge, train."""
    import tinker
    from tinker import types
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(settings["weights"])
    client = tinker.ServiceClient(base_url=url, api_key=KEY)
    trainer = client.create_lora_training_client(base_model=settings["weights"], rank=settings["lora_rank"])
    phases = clusterctl_reports.Phases()
    for step in range(1, settings["steps"] + 1):
        phases.enter("weight sync")
        sampler = trainer.save_weights_and_get_sampling_client()
        phases.enter("generate")
        groups = [sample(sampler, tokenizer, row, settings, step) for row in batch(rows, settings["prompts"], step)]
        phases.enter("sandbox")
        for group in groups:
            row, count = group["row"], len(group["texts"])
            group["rewards"] = clusterctl_rewards.passes(
                [row["prompt"]] * count, group["texts"], [row["tests"]] * count, [row.get("entry_point")] * count
            )
        phases.enter("train")
        data = [datum(types, group, number) for group in groups for number in range(len(group["texts"]))]
        forward = trainer.forward_backward(data, "importance_sampling")
        taken = trainer.optim_step(types.AdamParams(learning_rate=settings["learning_rate"]))
        forward.result()
        taken.result()
        phases.enter("")
        clusterctl_reports.report(step, settings["steps"], phases.take(), metrics(groups))
    clusterctl_reports.done(steps=settings["steps"])


def batch(rows: list[dict[str, Any]], prompts: int, step: int) -> list[dict[str, Any]]:
    """The rows of a step: one after the other, from the start again at the end."""
    return [rows[((step - 1) * prompts + number) % len(rows)] for number in range(prompts)]


def sample(sampler: Any, tokenizer: Any, row: dict[str, Any], settings: dict[str, Any], step: int) -> dict[str, Any]:
    """A group of answers to one prompt."""
    from tinker import types

    prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
    parameters = types.SamplingParams(max_tokens=settings["max_tokens"], temperature=1.0, seed=step)
    tokens = types.ModelInput.from_ints(prompt)
    answer = sampler.sample(prompt=tokens, num_samples=settings["samples"], sampling_params=parameters).result()
    texts = [tokenizer.decode(sequence.tokens, skip_special_tokens=True) for sequence in answer.sequences]
    return {"row": row, "prompt": prompt, "sequences": answer.sequences, "texts": texts}


def datum(types: Any, group: dict[str, Any], number: int) -> Any:
    """An answer with its advantage over its group; without a verdict it teaches nothing."""
    rewards = [reward for reward in group["rewards"] if reward is not None]
    mean = sum(rewards) / len(rewards) if rewards else 0.0
    spread = (sum((reward - mean) ** 2 for reward in rewards) / len(rewards)) ** 0.5 if rewards else 0.0
    reward = group["rewards"][number]
    advantage = 0.0 if reward is None else (reward - mean) / (spread + 1e-4)
    sequence, tokens = group["sequences"][number], [*group["prompt"], *group["sequences"][number].tokens]
    answered = len(sequence.tokens)
    before = [0.0] * (len(tokens) - 1 - answered)
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens[:-1]),
        loss_fn_inputs={
            "target_tokens": tokens[1:],
            "logprobs": before + list(sequence.logprobs),
            "advantages": before + [advantage] * answered,
            "weights": before + [1.0] * answered,
        },
    )


def metrics(groups: list[dict[str, Any]]) -> dict[str, float]:
    """Means over the samples of a step."""
    every = [reward for group in groups for reward in group["rewards"]]
    judged = [reward for reward in every if reward is not None]
    tokens = [len(sequence.tokens) for group in groups for sequence in group["sequences"]]
    shown = {"response_tokens": sum(tokens) / len(tokens), "sandbox_error_share": 1.0 - len(judged) / len(every)}
    if judged:
        shown |= {"reward": sum(judged) / len(judged), "pass_at_1": sum(r >= 1.0 for r in judged) / len(judged)}
    return shown


if __name__ == "__main__":
    main()
