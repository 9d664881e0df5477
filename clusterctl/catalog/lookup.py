"""The calibration, models and GPUs that ship with the package; names with or without the organisation, in any case."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from functools import cache
from typing import Any, TypeVar

from clusterctl.errors import SpecError, StateError
from clusterctl.paths import facts_dir
from planners.domain import GpuSpec, ModelShape, WeightDtype
from planners.physics.calibration import Calibration
from planners.spec.models import InlineModel

Fact = TypeVar("Fact", GpuSpec, ModelShape)


@cache
def load_calibration() -> Calibration:
    """The fitted constants with their uncertainty.  Raises StateError when the file is damaged or of another
    version."""
    path = facts_dir() / "calibration.json"
    try:
        return Calibration.from_json(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StateError(f"the calibration {path} cannot be used: {error}", hint="reinstall clusterctl") from error


_FOR_CHECKS_ONLY = ("params_stated", "params_active_stated")
"""Published totals kept beside the shape: tests compare them, the planner must not."""

_FORMATS: dict[str, WeightDtype] = {
    "fp8": "fp8", "fp8-dynamic": "fp8", "bf16": "bf16", "awq": "int4", "gptq": "int4", "int4": "int4", "w4a16": "int4",
    "int8": "int8", "w8a8": "int8", "w8a16": "int8", "mxfp4": "mxfp4", "nvfp4": "nvfp4", "fp4": "nvfp4",
}  # fmt: skip
"""How checkpoints are named -> how their weights are stored."""
_TUNING_SUFFIX = re.compile(rf"[-_.](instruct|base|chat|it|hf|quantized|{'|'.join(_FORMATS)})$")
_GPU_NOISE = re.compile(r"\bnvidia[- ]|\bamd[- ]|\binstinct[- ]|[- _]")


@cache
def model_rows() -> tuple[dict[str, Any], ...]:
    """The rows of models.json as written, published totals included."""
    return tuple(json.loads((facts_dir() / "models.json").read_text("utf-8")))


@cache
def load_models() -> dict[str, ModelShape]:
    """Every known model by its name and by each alias (several keys share one shape)."""
    rows = [{key: value for key, value in row.items() if key not in _FOR_CHECKS_ONLY} for row in model_rows()]
    shapes = [_fact(ModelShape, row) for row in rows]
    return {name: shape for shape in shapes for name in (shape.name, *shape.aliases)}


@cache
def load_gpus() -> dict[str, GpuSpec]:
    """Every known GPU by its canonical name only; `find_gpu` also knows the aliases."""
    rows = json.loads((facts_dir() / "gpus.json").read_text("utf-8"))
    return {row["name"]: _fact(GpuSpec, row) for row in rows}


def find_model(model: str | InlineModel) -> ModelShape:
    """The shape of a model by a tolerant name, or as a spec writes it out.  Raises SpecError with the nearest."""
    if isinstance(model, str):
        exact, tuned = _models_by_key().get(model.strip().lower()), _models_by_key().get(_bare(model))
        if exact is not None:
            return exact
        if tuned is not None:
            return _as_named(tuned, model)
        hint = "`model:` also takes a shape ({name, layers, hidden, heads, ...}) or the path of a config.json"
        labels = {_bare(name): name for name in load_models()}
        raise SpecError(f"unknown model {model!r}{_nearest(_bare(model), labels)}", hint=hint)
    from planners.spec.shapes import shape_of  # pydantic is not needed to look up names

    try:
        return shape_of(model)
    except ValueError as error:
        raise SpecError(f"model {error}") from error


def find_gpu(name: str) -> GpuSpec:
    """A GPU by its own, its driver's or a cloud's name.  Raises SpecError with the nearest."""
    gpu = _gpus_by_key().get(_gpu_key(name))
    if gpu is None:
        if family := _family(name):
            forms = ", ".join(one.name for one in family)
            raise SpecError(
                f"GPU {name!r} comes in several forms: {forms}", hint="name the one that these machines have"
            )
        labels = {_gpu_key(known): known for known in load_gpus()}
        hint = "known: " + ", ".join(load_gpus())
        raise SpecError(f"unknown GPU {name!r}{_nearest(_gpu_key(name), labels)}", hint=hint)
    return gpu


def find_gpus(name: str) -> tuple[GpuSpec, ...]:
    """The GPUs that a name stands for: one, or each of a family that comes in several forms (`A100`).  Raises
    SpecError."""
    if family := _family(name):
        return family
    return (find_gpu(name),)


def _family(name: str) -> tuple[GpuSpec, ...]:
    """The forms of a GPU that has no form of just that name."""
    key = _gpu_key(name)
    if key in _gpus_by_key():
        return ()
    return tuple(gpu for gpu in load_gpus().values() if gpu.name.partition("-")[0].lower() == key)


def _fact(kind: type[Fact], row: Mapping[str, Any]) -> Fact:
    """A row of a file of facts; what it leaves out is unknown, or what `kind` says by default."""
    unknown = {field.name: None for field in fields(kind) if field.default is MISSING}
    return kind(**{**unknown, **row, "aliases": tuple(row.get("aliases", ()))})


def _as_named(shape: ModelShape, name: str) -> ModelShape:
    """A known shape with its weights stored as the name says: Qwen3-32B-FP8, Qwen2.5-72B-Instruct-GPTQ-Int8."""
    suffixes = re.findall(rf"[-_.]({'|'.join(_FORMATS)})(?=$|[-_.])", name.strip().lower())
    return replace(shape, weight_dtype=_FORMATS[suffixes[-1]], weight_group=None) if suffixes else shape


def _bare(name: str) -> str:
    """Lower case, without organisation and tuning suffixes: Qwen/Qwen2.5-32B-Instruct -> qwen2.5-32b."""
    bare = name.strip().lower().rsplit("/", 1)[-1]
    while (shorter := _TUNING_SUFFIX.sub("", bare)) != bare:
        bare = shorter
    return bare


def _gpu_key(name: str) -> str:
    return _GPU_NOISE.sub("", name.strip().lower())


@cache
def _models_by_key() -> dict[str, ModelShape]:
    full = {name.strip().lower(): shape for name, shape in load_models().items()}
    bare = {_bare(name): shape for name, shape in load_models().items()}
    return bare | full


@cache
def _gpus_by_key() -> dict[str, GpuSpec]:
    return {_gpu_key(name): gpu for gpu in load_gpus().values() for name in (gpu.name, *gpu.aliases)}


def _nearest(key: str, labels: Mapping[str, str]) -> str:
    named = [labels[match] for match in difflib.get_close_matches(key, labels, n=3, cutoff=0.5)]
    return f"; nearest: {', '.join(named)}" if named else ""
