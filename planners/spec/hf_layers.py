"""What the layers of a config.json are: full, windowed or linear attention, state space; dense or experts."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

FULL, WINDOW, LINEAR, NONE = "full", "window", "linear", "none"
"""What a layer does with the context."""

_KINDS = {
    "full_attention": FULL, "attention": FULL, "global": FULL, "*": FULL, "G": FULL, 1: FULL,
    "sliding_attention": WINDOW, "chunked_attention": WINDOW, "local": WINDOW, "L": WINDOW,
    "linear_attention": LINEAR, "mamba": LINEAR, "mamba2": LINEAR, "recurrent": LINEAR, "M": LINEAR, 0: LINEAR,
    "-": NONE, "E": NONE, "moe": NONE, "mlp": NONE,
}  # fmt: skip
"""Entries of the keys in `_LISTS` and of `sliding_window_pattern`."""
_LINEAR_KEYS = (
    *("linear_num_key_heads", "linear_attn_config", "mamba_num_heads", "mamba_n_heads", "mamba_d_state"),
    *("ssm_state_size", "state_size"),
)
"""Keys of layers that a config which does not list its layers leaves untold."""
_LISTS = ("layer_types", "layers_block_type", "attn_type_list", "hybrid_override_pattern")
_EVERY_NTH_IS_FULL = {
    "gemma2": 2,
    "gemma3_text": 6,
    "gemma3": 6,
    "cohere2": 4,
    "gpt_oss": 2,
    "olmo3": 4,
    "llama4_text": 4,
}
"""Model types whose configs may leave out the pattern: every n-th layer sees everything (their configuration classes
in transformers 4.57)."""


class LinearLayer(NamedTuple):
    """One layer of linear attention or state space, without its feed-forward."""

    params: int
    state_bytes: float
    """Per sequence: fp32 state and 16-bit convolution inputs, as vLLM and SGLang keep them."""


def check_layers_are_told(config: Mapping[str, Any]) -> None:
    """Raises ValueError for layers of several shapes, and for linear-attention or state-space layers of a config that
    does not list its layers."""
    if config.get("block_configs"):
        raise ValueError("'block_configs' gives each layer a shape of its own; give the shape with params_total")
    told = any(config.get(key) for key in (*_LISTS, "full_attention_interval", "attn_layer_indices"))
    strange = next((key for key in _LINEAR_KEYS if config.get(key)), None)
    if strange and not told:
        raise ValueError(f"{strange!r} means linear-attention or state-space layers; give the shape with params_total")


def layer_kinds(config: Mapping[str, Any], layers: int) -> tuple[str, ...]:
    """FULL, WINDOW, LINEAR or NONE for every layer.  Raises ValueError for an entry that is not understood."""
    listed: Any = next((config[key] for key in _LISTS if config.get(key)), None)
    if listed is not None:
        strange = next((entry for entry in listed if entry not in _KINDS), None)
        if strange is not None or len(listed) < layers:
            raise ValueError(f"layers of type {strange!r} are not understood; give the shape with params_total")
        return tuple(_KINDS[entry] for entry in listed[:layers])
    interval, indices = config.get("full_attention_interval"), config.get("attn_layer_indices")
    if interval or indices:
        full: Any = indices or range(int(interval or 1) - 1, layers, int(interval or 1))
        return tuple(FULL if i in full else LINEAR for i in range(layers))
    if not window_of(config):
        return (FULL,) * layers
    kind = str(config.get("model_type", "")).lower()
    pattern = config.get("sliding_window_pattern") or _EVERY_NTH_IS_FULL.get(kind)
    if isinstance(pattern, str):
        return tuple(_KINDS.get(pattern[i % len(pattern)], FULL) for i in range(layers))
    if pattern:
        return tuple(FULL if (i + 1) % pattern == 0 else WINDOW for i in range(layers))
    first = config.get("max_window_layers", 0) if "use_sliding_window" in config else 0
    return tuple(WINDOW if i >= first else FULL for i in range(layers))


def window_of(config: Mapping[str, Any]) -> int | None:
    """Tokens of the sliding window or of the chunk; None without, or where it is switched off."""
    by_default = not str(config.get("model_type", "")).lower().startswith("qwen")
    if not config.get("use_sliding_window", by_default):
        return None
    return config.get("sliding_window") or config.get("attention_chunk_size")


def linear_layer(config: Mapping[str, Any], *, hidden: int, heads: int, head_dim: int) -> LinearLayer:
    """Gated DeltaNet (Qwen3-Next), lightning attention (MiniMax-01) or Mamba-2.  Raises ValueError for another kind.

    Gated DeltaNet: h (2·k + 2·v + 2·value heads) in, convolution over 2·k + v, v·h out (arXiv:2412.06464); lightning:
    query, key, value, gate and output (arXiv:2501.08313); Mamba-2: h (2·d + 2·groups·state + heads) in, d·h out
    (arXiv:2405.21060).
    """
    if config.get("linear_num_value_heads"):
        keys = config["linear_num_key_heads"] * config["linear_key_head_dim"]
        value_heads, value_dim = config["linear_num_value_heads"], config["linear_value_head_dim"]
        values, width = value_heads * value_dim, config.get("linear_conv_kernel_dim", 4)
        params = hidden * (2 * keys + 3 * values + 2 * value_heads) + (2 * keys + values) * width
        state = value_heads * value_dim * config["linear_key_head_dim"]
        return LinearLayer(params, 4.0 * state + 2.0 * (2 * keys + values) * (width - 1))
    if config.get("attn_type_list") or str(config.get("model_type", "")).lower().startswith("minimax"):
        return LinearLayer(5 * hidden * heads * head_dim, 4.0 * heads * head_dim * head_dim)
    mixers = config.get("mamba_num_heads") or config.get("mamba_n_heads")
    head_size = config.get("mamba_head_dim") or config.get("mamba_d_head")
    state_size = config.get("ssm_state_size") or config.get("mamba_d_state")
    if not (mixers and state_size) or config.get("mamba_dt_rank"):
        raise ValueError(
            "its linear-attention or state-space layers are not understood; give a shape with params_total"
        )
    if not isinstance(head_size, int):
        head_size = config.get("mamba_expand", 2) * hidden // mixers
    inner, groups = mixers * head_size, config.get("n_groups") or config.get("mamba_n_groups") or 1
    mixed, width = inner + 2 * groups * state_size, config.get("conv_kernel") or config.get("mamba_d_conv") or 4
    params = hidden * (inner + mixed + mixers) + mixed * width + inner * hidden
    return LinearLayer(params, 4.0 * prod((mixers, head_size, state_size)) + 2.0 * mixed * (width - 1))


def moe_layer_count(config: Mapping[str, Any], layers: int) -> int:
    """Layers with routed experts, of a model that has experts."""
    pattern = config.get("hybrid_override_pattern")
    if pattern:
        return str(pattern).count("E")
    if isinstance(config.get("moe_layer_freq"), list):
        return sum(map(bool, config["moe_layer_freq"]))
    if config.get("moe_layers"):
        return len(config["moe_layers"])
    steps = ("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_freq", "moe_layer_interval")
    step = next((config[key] for key in steps if config.get(key)), 1)
    dense, starts = config.get("mlp_only_layers") or (), ("first_k_dense_replace", "moe_layer_start_index")
    first = next((config[key] for key in starts if config.get(key)), 0)
    return sum(i >= first and i not in dense and (i + 1) % step == 0 for i in range(layers))
