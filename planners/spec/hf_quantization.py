"""Read `quantization_config` of a config.json: formats of weights and KV cache, and what stays at 16 bits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from planners.domain import WeightDtype

_BY_METHOD: dict[str, WeightDtype] = {
    "fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "mxfp4", "nvfp4": "nvfp4",
}  # fmt: skip
_BY_BITS: dict[tuple[str, int], WeightDtype] = {
    ("float", 8): "fp8", ("int", 8): "int8", ("float", 4): "nvfp4", ("int", 4): "int4",
}  # fmt: skip
_SKIPPED = ("ignore", "ignored_layers", "modules_to_not_convert", "exclude_modules", "exclude")
_LAYER = re.compile(r"layers?[.\\]+(\d+)\b")


def quantization_fields(config: Mapping[str, Any], parts: Mapping[str, float], layers: int) -> dict[str, Any]:
    """Fields of the shape that `quantization_config` decides.  `parts`: parameters of `attention`, `dense`, `shared`,
    `experts`, `head` and `embedding`.  An unknown method leaves the weights at 16 bits and says so in `note`.
    """
    quantization = config.get("quantization_config") or config.get("compression_config")
    if not isinstance(quantization, Mapping):
        return {}
    if isinstance(inner := quantization.get("quantization"), Mapping):  # ModelOpt's own file, taken over
        quantization = {**quantization, **inner}
    scheme = _scheme(quantization)
    dtype, group = _weights(quantization, scheme)
    if dtype is None:
        method = quantization.get("quant_method")
        return {"note": f"quantization_config of method {method!r} is not understood: weights count as 16 bits"}
    skipped = [str(entry) for key in _SKIPPED for entry in quantization.get(key) or ()]
    kept = {part: _kept_share(part, skipped, layers) for part in parts}
    kept["embedding"] = 1.0
    if quantization.get("quant_method") != "compressed-tensors" and not quantization.get("lm_head"):
        kept["head"] = 1.0
    groups = quantization.get("config_groups")
    formats = {str(group.get("weights")) for group in groups.values()} if isinstance(groups, Mapping) else set()
    is_usual = all(share == (part in ("head", "embedding")) for part, share in kept.items())
    return {
        "weight_dtype": dtype,
        "weight_group": group,
        "unquantized_params": None if is_usual else sum(parts[part] * share for part, share in kept.items()),
        "note": f"weights of several formats: all count as {dtype}" if len(formats) > 1 else None,
        "kv_dtype": "fp8" if _has_fp8_cache(quantization) else None,
    }


def _scheme(quantization: Mapping[str, Any]) -> Mapping[str, Any]:
    """What compressed-tensors, ModelOpt or Quark say of the weights; of several groups, the first."""
    groups = quantization.get("config_groups")
    first: Any = next(iter(groups.values()), {}) if isinstance(groups, Mapping) else {}
    if not first and isinstance(quantization.get("global_quant_config"), Mapping):
        first = {"weights": quantization["global_quant_config"].get("weight")}
    weights = first.get("weights") if isinstance(first, Mapping) else None
    return weights if isinstance(weights, Mapping) else {}


def _weights(quantization: Mapping[str, Any], scheme: Mapping[str, Any]) -> tuple[WeightDtype | None, int | None]:
    """Format of the quantized weights, and how many share a scale where they say it."""
    method = str(quantization.get("quant_method", "")).lower()
    words = " ".join(str(quantization.get(key, "")) for key in ("quant_algo", "format", "quant_type")).lower()
    words += " " + str(scheme.get("dtype", "")).lower()
    group = scheme.get("group_size") or quantization.get("group_size") or quantization.get("q_group_size")
    group = group if isinstance(group, int) and group > 0 else None
    named: tuple[WeightDtype, ...] = ("mxfp4", "nvfp4")
    dtype = _BY_METHOD.get(method) or next((name for name in named if name in words), None)
    if dtype is None and scheme.get("num_bits"):
        dtype = _BY_BITS.get((str(scheme.get("type", "int")), int(scheme["num_bits"])))
    if dtype is None and method in ("awq", "gptq", "auto-round", "autoround", "gptq_marlin", "awq_marlin"):
        dtype = _BY_BITS.get(("int", int(quantization.get("bits") or quantization.get("w_bit") or 4)))
    if dtype is None and method in ("bitsandbytes", "bnb"):
        dtype = "int4" if quantization.get("load_in_4bit") else "int8"
    if dtype is None and "fp4" in words:
        dtype = "mxfp4"
    if dtype is None and "fp8" in words:
        dtype = "fp8"
    return dtype, group if dtype in ("int4", "mxfp4", "nvfp4") else None


def _kept_share(part: str, skipped: Sequence[str], layers: int) -> float:
    """Share of a part's layers that stay at 16 bits: all where a pattern names no layer."""
    hit = [entry for entry in skipped if _names(entry, part)]
    numbers = [_LAYER.search(entry) for entry in hit]
    if not all(numbers):
        return 1.0
    return min(len({found.group(1) for found in numbers if found}) / layers, 1.0)


def _names(entry: str, part: str) -> bool:
    """Whether a pattern of modules means this part; routers and norms are too small to count."""
    if "norm" in entry:
        return False
    if part == "head":
        return "lm_head" in entry
    if part == "attention":
        return "attn" in entry or "attention" in entry
    if part == "shared":
        return "shared_expert" in entry and not entry.endswith("_gate")
    if part == "experts":
        return "experts" in entry and "shared" not in entry
    return (
        part == "dense"
        and ("mlp" in entry or "feed_forward" in entry)
        and not re.search(r"expert|router|mlp\\?\.gate\W*$", entry)
    )


def _has_fp8_cache(quantization: Mapping[str, Any]) -> bool:
    scheme = quantization.get("kv_cache_scheme")
    algorithm = str(quantization.get("kv_cache_quant_algo") or "").lower()
    return algorithm == "fp8" or (isinstance(scheme, Mapping) and scheme.get("num_bits") == 8)
