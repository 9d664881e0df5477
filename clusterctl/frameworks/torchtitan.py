"""torchtitan: TOML of its pretraining, or the flags of its command line.

Names: torchtitan 0.1 to 0.3, train_configs and torchtitan/config (github.com/pytorch/torchtitan).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from clusterctl.errors import SpecError
from clusterctl.frameworks import common
from clusterctl.frameworks.draft import Draft
from clusterctl.frameworks.launch import LaunchCommand
from clusterctl.frameworks.setting_table import Setting

DEFAULTS: Mapping[str, Any] = {"training.steps": 10_000, "training.seq_len": 2048, "training.local_batch_size": 8}
RANKS = 8
"""Data-parallel ranks where nothing says how many.  Assumption: one node."""
_MODELS: Mapping[tuple[str, str], str] = {
    ("llama3", "1b"): "meta-llama/Llama-3.2-1B", ("llama3", "3b"): "meta-llama/Llama-3.2-3B",
    ("llama3", "8b"): "meta-llama/Llama-3.1-8B", ("llama3", "70b"): "meta-llama/Llama-3.1-70B",
    ("llama3", "405b"): "meta-llama/Llama-3.1-405B", ("llama2", "7b"): "meta-llama/Llama-2-7b-hf",
    ("llama2", "13b"): "meta-llama/Llama-2-13b-hf", ("llama2", "70b"): "meta-llama/Llama-2-70b-hf",
    ("llama4", "17bx16e"): "meta-llama/Llama-4-Scout-17B-16E",
    ("llama4", "17bx128e"): "meta-llama/Llama-4-Maverick-17B-128E",
    ("deepseek_v3", "16b"): "DeepSeek-V2-Lite", ("deepseek_v3", "671b"): "deepseek-ai/DeepSeek-V3",
    ("gpt_oss", "120b"): "openai/gpt-oss-120b",
}  # fmt: skip
"""(model.name, model.flavor) -> the catalogue's name."""
_TINY = {"name": "debugmodel", "layers": 6, "hidden": 256, "heads": 16, "ffn": 768, "vocab": 2048}
"""torchtitan's debug model of Llama 3: 6 layers of 256, a tokenizer of 2,048 entries."""


def mapper(launch: LaunchCommand) -> tuple[str, Mapping[str, Any], Callable[[Draft], None]]:
    """The kind of stage and the mapping of one file.  Raises SpecError."""
    named = str(launch.settings.get("model.name", Setting("", "")).value) + launch.evidence
    if "flux" in named:
        raise SpecError(f"{launch.where}: flux is a model of images, which no spec describes")
    return "pretrain", DEFAULTS, pretraining


def pretraining(draft: Draft) -> None:
    """Map a training configuration."""
    settings = draft.settings
    _model(draft)
    degrees = _layout(draft)
    length = draft.take("seq_len", "training.seq_len") or 2048
    batch = _batch(draft, degrees)
    steps = settings.number("training.steps")
    count = int(steps.value) if steps else 1
    if count * batch * length <= 10**16:
        draft.put("tokens", count * batch * length, steps, f"{count:,} steps × {batch:,} × {length:,} tokens")
    _options(draft)
    on = settings.get("checkpoint.enable", "checkpoint.enable_checkpoint", default=False)
    every = settings.get("checkpoint.interval")
    off = on is not None and on.value is False
    keep = settings.get("checkpoint.keep_latest_k")
    common.checkpoints(draft, Setting("checkpoint.enable", 0, on.where) if off and on else every, keep, count)


def _model(draft: Draft) -> None:
    settings = draft.settings
    name, flavor = settings.get("model.name"), settings.get("model.flavor")
    module, config = settings.get("launcher.MODULE", "module"), settings.get("launcher.CONFIG")
    if flavor is None and module is not None:
        chosen = str(config.value) if config else ""
        name, flavor = module, Setting("config", chosen.removeprefix(f"{module.value}_"), (config or module).where)
    key = (str(name.value).lower() if name else "llama3", str(flavor.value).lower() if flavor else "")
    if key in _MODELS:
        draft.put("model", _MODELS[key], flavor)
    elif "debug" in key[1] and flavor is not None:
        draft.put("model", dict(_TINY), flavor, "a tiny model of Llama 3's shape")
    elif flavor is not None and name is not None:
        found = re.sub(r"[_ ]", "-", f"{name.value}-{flavor.value}")
        draft.model("model", Setting(flavor.key, found, flavor.where))
    else:
        draft.model("model", None)


def _layout(draft: Draft) -> dict[str, int]:
    """Degrees, and the GPUs that they multiply to."""
    settings = draft.settings
    sections = ("parallelism", "experimental", "training")
    found: dict[str, int] = {}
    for field, name in (("tp", "tensor"), ("pp", "pipeline"), ("cp", "context"), ("ep", "expert")):
        keys = [f"{section}.{name}_parallel_degree" for section in sections]
        degree = settings.number(*keys)
        found[field] = int(degree.value) if degree else 1
        draft.put(f"train.{field}", int(degree.value) if degree and degree.value > 1 else None, degree)
    if all(found[field] == 1 for field in ("tp", "pp", "ep")):
        draft.put("train.sharding", "fsdp", None, "torchtitan's own, with data parallelism alone")
    replicas = settings.count(*(f"{section}.data_parallel_replicate_degree" for section in sections)) or 1
    shards = settings.number(*(f"{section}.data_parallel_shard_degree" for section in sections))
    processes = settings.number("launcher.nproc_per_node", "launcher.NGPU")
    model_gpus = found["tp"] * found["pp"] * found["cp"]
    if processes is not None:
        total = common.gpus(draft, [(settings.number("launcher.nnodes"), processes)])
    elif shards is not None:
        total = model_gpus * replicas * int(shards.value)
        draft.put("fleet.num_gpus", total, shards, "product of the degrees")
    else:
        total = 0  # `torchrun` says it, which starts the file
    found["dp"] = total // model_gpus
    return found


def _batch(draft: Draft, degrees: Mapping[str, int]) -> int:
    """Sequences per update."""
    settings = draft.settings
    whole = settings.number("training.global_batch_size")
    if whole is not None:
        draft.put("global_batch_samples", int(whole.value), whole)
        return int(whole.value)
    local = settings.number("training.local_batch_size", "training.batch_size")
    each, ranks = int(local.value) if local else 8, degrees["dp"] or RANKS
    why = f"{each} × {ranks} data-parallel ranks"
    if not degrees["dp"]:
        local, why = (
            None,
            f"{why}: their number is not in the file; neither is that of the GPUs, which the plan searches",
        )
    draft.put("global_batch_samples", each * ranks, local, why)
    return each * ranks


def _options(draft: Draft) -> None:
    settings = draft.settings
    modes = {mode: mode for mode in ("none", "selective", "full")}
    draft.choose("train.recompute", modes, "activation_checkpoint.mode")
    draft.switch("train.compile", "compile.enable", "training.compile")
    converters = settings.get("model.converters", "float8.enable_float8_linear", default=False)
    if converters is not None and ("float8" in str(converters.value) or converters.value is True):
        draft.put("train.precision", "fp8", converters)
    schedule = settings.get("parallelism.pipeline_parallel_schedule", "experimental.pipeline_parallel_schedule")
    if schedule is not None and draft.stage.get("train", {}).get("pp", 1) > 1:
        word = str(schedule.value).lower()
        value = (
            "interleaved" if "interleaved" in word else "zero_bubble" if "zb" in word or "dualpipe" in word else "1f1b"
        )
        draft.put("train.pipeline_schedule", value, schedule)
    draft.switch("train.optimizer_offload", "training.enable_cpu_offload")
