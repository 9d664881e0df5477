"""torchtitan 0.3 with reports to the run: `python -m clusterctl_titan --module clusterctl_titan --config planned ...`.

`planned` is one of torchtitan's own configurations, named by `titan.json`, with our recomputation and with metrics that
are reported; flags follow as torchtitan takes them.  `smoke` is its smallest Llama, for machines without GPUs, which
torchtitan does not know of: it takes CUDA where torch finds no accelerator.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import runpy
import sys
import types
from pathlib import Path
from typing import Any

import clusterctl_reports

NAMES = {
    "loss_metrics/global_avg_loss": "loss",
    "throughput(tps)": "tokens_per_s_per_gpu",
    "mfu(%)": "mfu_pct",
    "memory/max_reserved(GiB)": "hbm_gib",
}
"""torchtitan's names of metrics -> those of dashboards; others keep theirs."""


def planned() -> Any:
    """The configuration that the plan names: Trainer.Config."""
    said = json.loads(Path("titan.json").read_text(encoding="utf-8"))
    module = importlib.import_module(f"torchtitan.models.{said['module']}.config_registry")
    return reported(recomputing(getattr(module, said["config"])(), said["recompute"]), said["steps"])


def recomputing(config: Any, recompute: str) -> Any:
    """The same with no, selective or full recomputation."""
    from torchtitan.distributed.activation_checkpoint import FullAC, SelectiveAC

    kinds: dict[str, Any] = {"full": FullAC.Config, "selective": SelectiveAC.Config}
    config.activation_checkpoint = kinds[recompute]() if recompute in kinds else None
    return config


def reported(config: Any, steps: int) -> Any:
    """The same with metrics that are reported to the run."""
    from torchtitan.components.metrics import MetricsProcessor

    class Reported(MetricsProcessor):  # type: ignore[misc]  # no types come with it
        @dataclasses.dataclass(kw_only=True, slots=True)
        class Config(MetricsProcessor.Config):  # type: ignore[misc]
            steps: int = 0
            """Of the whole stage."""

        def __init__(self, config: Any, **more: Any) -> None:
            super().__init__(config, **more)
            inner = self.logger.log

            def log(metrics: dict[str, Any], step: int) -> None:
                inner(metrics, step)
                if "loss_metrics/global_avg_loss" in metrics and _tells(self.parallel_dims):
                    seconds = {"train": float(metrics.get("time_metrics/end_to_end(s)", 0.0))}
                    told = {NAMES.get(name, name): value for name, value in metrics.items()}
                    clusterctl_reports.report(step, config.steps, seconds, told)
                    if step >= config.steps:
                        clusterctl_reports.done(steps=step, loss=float(metrics["loss_metrics/global_avg_loss"]))

            self.logger.log = log

    known = {field.name: getattr(config.metrics, field.name) for field in dataclasses.fields(config.metrics)}
    config.metrics = Reported.Config(**known | {"log_freq": 1, "steps": steps})
    return config


def _tells(parallel_dims: Any) -> bool:
    """Whether this rank speaks for all: the first of the pipeline's last part, which has the loss."""
    world, pp = parallel_dims.world_size, parallel_dims.pp
    return int(os.environ.get("RANK", "0")) == world // pp * (pp - 1)


def smoke() -> Any:
    """torchtitan's debug model on a CPU: plain attention, since flex attention has no backward there."""
    from torchtitan.models.common.attention import ScaledDotProductAttention
    from torchtitan.models.common.decoder import Decoder
    from torchtitan.models.llama3 import model_registry
    from torchtitan.models.llama3.config_registry import llama3_debugmodel

    config = llama3_debugmodel()
    config.model_spec = model_registry("debugmodel")
    for layer in config.model_spec.model.layers:
        layer.attention.inner_attention = ScaledDotProductAttention.Config()
    Decoder.get_attention_masks = lambda self, positions: None  # noqa: ARG005 - called by names
    said = json.loads(Path("titan.json").read_text(encoding="utf-8"))
    return reported(config, said["steps"])


def without_accelerator() -> None:
    """Let torchtitan see the CPU as its device."""
    import torch
    import torch._utils

    torch._utils._get_available_device_type = lambda: "cpu"
    memory = types.SimpleNamespace(total_memory=8 << 30, name="cpu")
    known = {
        "get_device_name": lambda *_: "cpu",
        "get_device_properties": lambda *_: memory,
        "reset_peak_memory_stats": lambda *_: None,
        "empty_cache": lambda: None,
        "memory_stats": lambda *_: {},
        "current_device": lambda: 0,
        "set_device": lambda *_: None,
        "device_count": lambda: 1,
    }
    for name, value in known.items():
        setattr(torch.cpu, name, value)


def smoke_assets() -> None:
    """A tokenizer of the debug model's 2,048 entries and a text to train on, in the folder `smoke`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    folder = Path("smoke")
    (folder / "data").mkdir(parents=True, exist_ok=True)
    texts = [f"def f{n}(x):\n    return x + {n}\n\n\nassert f{n}(1) == {n + 1}\n" * 8 for n in range(64)]
    rows = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (folder / "data" / "text.jsonl").write_text(rows, encoding="utf-8")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=["<s>", "</s>"], show_progress=False, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")


def main() -> None:
    """torchtitan's own program, with this command line."""
    if os.environ.get("CLUSTERCTL_GPUS_PER_NODE", "0") == "0":
        without_accelerator()
        smoke_assets()
    sys.argv[0] = "torchtitan.train"
    runpy.run_module("torchtitan.train", run_name="__main__")


if __name__ == "__main__":
    main()
