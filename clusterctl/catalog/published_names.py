"""Models and GPUs by the names that publications use: looser than a spec, and None instead of an error."""

from __future__ import annotations

import re
from functools import cache

from clusterctl.catalog.lookup import find_gpu, find_model, load_gpus, load_models
from clusterctl.errors import SpecError
from planners.domain import GpuSpec, ModelShape

_TUNED = re.compile(
    r"-(instruct|base|chat|it|hf|pt|fp8|bf16|fp16|awq|gptq|mxfp4|thinking|preview|dpo|sft|rl|\d{4}|v\d+(\.\d+)?)$"
)
_MAKER = re.compile(r"^(meta|nvidia|mistralai|google|qwen|deepseek-ai|unsloth)-(?=\D)")
_FORM = re.compile(r"(nvidia|amd|instinct|tesla|sxm\d?|oam|hbm\d?e?|hgx|dgx|gpus?|\b\d{1,2}\s*x\s+)")
_MEMORY = re.compile(r"[\s_-]*(40|80|94|96|141|180|186|192|256|288)\s*g(i?b)?\b")


def published_model(name: str) -> ModelShape | None:
    """The shape of a model by a loose name; None where nothing matches."""
    try:
        return find_model(name)
    except SpecError:
        return _models_by_core().get(_core(name))


def published_gpu(name: str) -> GpuSpec | None:
    """A GPU by a loose name such as `NVIDIA H100 SXM5 80GB`; None where nothing matches.

    A bare A100 is taken as the 80 GB part, which nearly all published clusters use.
    """
    try:
        return find_gpu(name)
    except SpecError:
        pass
    text = name.strip().lower()
    memory = _MEMORY.search(text)
    bare = re.sub(r"[\s_-]+", "", _FORM.sub("", _MEMORY.sub("", text)))
    suffixes = (f"-{memory.group(1)}", "") if memory else ("", "-80")
    found = (_gpus_by_core().get(f"{bare}{suffix}".replace("-", "")) for suffix in suffixes)
    return next(filter(None, found), None)


def _core(name: str) -> str:
    """Lower case without organisation, maker and tuning: unsloth/Meta-Llama-3.1-8B-Instruct -> llama-3.1-8b."""
    core = re.sub(r"[\s_]+", "-", name.strip().lower().rsplit("/", 1)[-1])
    core = _MAKER.sub("", core)
    while (shorter := _TUNED.sub("", core)) != core:
        core = shorter
    return core


@cache
def _models_by_core() -> dict[str, ModelShape]:
    return {_core(name): shape for name, shape in load_models().items()}


@cache
def _gpus_by_core() -> dict[str, GpuSpec]:
    names = {alias: gpu for gpu in load_gpus().values() for alias in (*gpu.aliases, gpu.name)}
    return {re.sub(r"[\s_-]+", "", name.lower()): gpu for name, gpu in names.items()}
