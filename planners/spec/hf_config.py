"""Read a model's shape from a Hugging Face config.json (its parsed content; reading the file is the shell's work)."""

from collections.abc import Mapping
from typing import Any

from planners.spec.hf_layers import (
    FULL,
    LINEAR,
    WINDOW,
    check_layers_are_told,
    layer_kinds,
    linear_layer,
    moe_layer_count,
    window_of,
)
from planners.spec.hf_quantization import quantization_fields
from planners.spec.hf_unread import ReadFields, unread_sizes
from planners.spec.models import MAX_LAYERS, InlineModel
from planners.spec.shapes import attention_params, count_params, size_of

_TIED_BY_DEFAULT = frozenset(
    {
        "gemma",
        "gemma2",
        "gemma3",
        "gemma3_text",
        "starcoder2",
        "gpt_bigcode",
        "gpt2",
        "cohere",
        "cohere2",
        "opt",
        "bloom",
        "falcon",
        "mpt",
    }
)
"""Model types whose config classes tie the embeddings unless the file says otherwise."""

_PLAIN_FFN = frozenset(
    {
        "starcoder2",
        "gpt_bigcode",
        "gpt_neox",
        "gpt2",
        "gptj",
        "gpt_neo",
        "phi",
        "bloom",
        "mpt",
        "opt",
        "falcon",
        "nemotron",
        "nemotron_h",
    }
)
"""Model types with two feed-forward matrices; all others read here are gated (three)."""

_DEFAULTS: dict[str, dict[str, Any]] = {
    "gemma3_text": {"vocab_size": 262_208, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}
}
"""Sizes that files of a model type leave out, since its configuration class has them (transformers 4.57)."""

_FLAT = ("attn_config", "ffn_config")
"""Where DBRX and MPT keep sizes."""

_NESTED = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where multimodal configs keep the language model."""


def inline_from_config(config: Mapping[str, Any], *, name: str) -> InlineModel:
    """The shape in a Hugging Face config.json: dense, experts, MLA, windows, linear attention, quantized weights.

    Fields that look like sizes and are not understood stand in `note`.  Raises ValueError that names the missing key,
    or pydantic's ValidationError for a value out of range.
    """
    try:
        return _read(ReadFields(_language_part(config)), name)
    except (TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"a field is missing or of another type than usual: {error}") from error


def _language_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The language model of a multimodal config, with what the outer part says for both."""
    for key in _NESTED:
        if isinstance(inner := config.get(key), Mapping):
            shared = ("model_type", "tie_word_embeddings", "quantization_config", "compression_config")
            outer = {key: config[key] for key in shared if key in config}
            return _language_part({**outer, **{key: value for key, value in inner.items() if value is not None}})
    parts = [config[key] for key in _FLAT if isinstance(config.get(key), Mapping)]
    flat = {key: value for part in (*parts, config) for key, value in part.items() if key not in _FLAT}
    return _DEFAULTS.get(str(config.get("model_type")), {}) | flat


def _read(config: ReadFields, name: str) -> InlineModel:
    check_layers_are_told(config)
    kind = str(config.get("model_type", "")).lower()
    hidden = _first(config, "hidden_size", "n_embd", "d_model")
    heads = _first(config, "num_attention_heads", "n_head", "n_heads")
    layers = _first(config, "num_hidden_layers", "n_layer", "n_layers", "num_layers")
    if not isinstance(layers, int) or not 1 <= layers <= MAX_LAYERS:
        raise ValueError(f"num_hidden_layers: a model has 1 to {MAX_LAYERS:,} layers")
    multi_query = 1 if config.get("multi_query") else None
    ffn = _any(config, "intermediate_size", "n_inner", "ffn_hidden_size", "ff_intermediate_size")
    kv_heads = _any(config, "num_key_value_heads", "num_kv_heads", "multi_query_group_num", "n_head_kv", "kv_n_heads")
    kinds = layer_kinds(config, layers)
    if FULL not in kinds and WINDOW not in kinds:
        raise ValueError("no layer has attention; give the shape with params_total")
    window, windowed = window_of(config), kinds.count(WINDOW)
    fields = {
        "name": name,
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "head_dim": _any(config, "head_dim", "kv_channels", "attention_head_dim"),
        "ffn": ffn or (4 * hidden if kind in _PLAIN_FFN else None),
        "vocab": _first(config, "vocab_size", "padded_vocab_size"),
        "kv_heads": kv_heads or multi_query or heads,
        "ffn_matrices": 2 if kind in _PLAIN_FFN else 3,
        "tied_embeddings": bool(config.get("tie_word_embeddings", kind in _TIED_BY_DEFAULT)),
        "attention_layers": kinds.count(FULL) + windowed,
        "window": window if windowed else None,
        "window_layers": windowed if window and windowed else None,
        "max_context": _max_context(config),
    }
    fields |= _moe_fields(config, layers, ffn) | _mla_fields(config)
    model = InlineModel.model_validate(fields)
    counted = _counted(config, model, kinds)
    quantized = quantization_fields(config, _parts(model), layers)
    notes = [quantized.pop("note", None), unread_sizes(config)]
    note = "; ".join(filter(None, notes)) or None
    return InlineModel.model_validate(fields | counted | quantized | {"note": note})


def _counted(config: Mapping[str, Any], model: InlineModel, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Parameters and state of a model with layers of other kinds than attention with a feed-forward behind it."""
    kind = str(config.get("model_type", "")).lower()
    gate = bool(config.get("attn_output_gate", kind.startswith(("qwen3_next", "qwen3_5"))))
    if not gate and set(kinds) <= {FULL, WINDOW}:
        return {}
    counted = count_params(model)
    hidden, heads = size_of(model, "hidden"), size_of(model, "heads")
    head_dim = model.head_dim or hidden // heads
    attention = attention_params(model)
    change, state = kinds.count("none") * -attention, None
    if LINEAR in kinds:
        linear = linear_layer(config, hidden=hidden, heads=heads, head_dim=head_dim)
        change += kinds.count(LINEAR) * (linear.params - attention)
        state = kinds.count(LINEAR) * linear.state_bytes
    if gate:
        change += kinds.count(FULL) * hidden * heads * head_dim
    if config.get("hybrid_override_pattern"):  # a block is a mixer or a feed-forward, never both
        without = kinds.count(LINEAR) + kinds.count(FULL)
        change -= without * model.ffn_matrices * hidden * (model.dense_ffn or size_of(model, "ffn"))
    total, active = counted.total + change, counted.active + change
    return {"params_total": total, "params_active": active, "state_bytes": state}


def _parts(model: InlineModel) -> dict[str, float]:
    """Parameters by what a quantized checkpoint may leave at 16 bits."""
    layers, hidden, ffn = (size_of(model, field) for field in ("layers", "hidden", "ffn"))
    one = model.ffn_matrices * hidden
    dense_layers = layers if model.experts is None else model.dense_layers or 0
    moe_layers = layers - dense_layers
    embedding = float(size_of(model, "vocab") * hidden)
    return {
        "attention": float(layers * attention_params(model)),
        "dense": float(dense_layers * one * (model.dense_ffn or ffn)),
        "shared": float(moe_layers * (model.shared_experts or 0) * one * (model.shared_ffn or ffn)),
        "experts": float(moe_layers * (model.experts or 0) * one * ffn),
        "head": 0.0 if model.tied_embeddings else embedding,
        "embedding": embedding,
    }


def _moe_fields(config: Mapping[str, Any], layers: int, dense_ffn: Any) -> dict[str, Any]:
    experts = _any(config, "n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
    if not experts or experts == 1:
        return {}
    expert_ffn = _any(config, "moe_intermediate_size") or dense_ffn
    dense_layers = layers - moe_layer_count(config, layers)
    shared_keys = ("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size")
    shared_ffn = _any(config, *shared_keys)
    llama4 = str(config.get("model_type", "")).startswith("llama4")
    shared = _any(config, "n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
    return {
        "ffn": expert_ffn,
        "experts": experts,
        "experts_per_token": _first(
            config, "num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "moe_top_k"
        ),
        "shared_experts": shared or (1 if shared_ffn or llama4 else None),
        "shared_ffn": shared_ffn,
        "dense_layers": dense_layers or None,
        "dense_ffn": (config.get("intermediate_size_mlp") or dense_ffn) if dense_layers else None,
    }


def _mla_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    if not config.get("kv_lora_rank"):
        return {}
    named = {"rope_dim": "qk_rope_head_dim", "nope_dim": "qk_nope_head_dim", "v_dim": "v_head_dim"}
    sizes = {field: _first(config, key) for field, key in named.items()}
    ranks = {"kv_lora_rank": config["kv_lora_rank"], "q_lora_rank": config.get("q_lora_rank")}
    return ranks | sizes | {"head_dim": None, "kv_heads": None}


def _max_context(config: Mapping[str, Any]) -> Any:
    """Longest context: the positions, or what YaRN stretches the original ones to (arXiv:2309.00071)."""
    longest = _any(config, "max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if not longest or scaling.get("rope_type", scaling.get("type")) != "yarn":
        return longest
    original = scaling.get("original_max_position_embeddings") or longest
    return max(longest, round(original * float(scaling.get("factor") or 1.0)))


def _any(config: Mapping[str, Any], *keys: str) -> Any:
    return next((value for value in [_alike(config.get(key)) for key in keys] if value), None)


def _alike(value: Any) -> Any:
    """The one value of a list that says the same for every layer."""
    return value[0] if isinstance(value, list) and value and all(each == value[0] for each in value) else value


def _first(config: Mapping[str, Any], *keys: str) -> Any:
    for key in keys:
        if config.get(key) is not None:
            return _alike(config[key])
    raise ValueError(f"config.json has no {keys[0]!r}")
