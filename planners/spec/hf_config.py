"""Read a model's shape from a Hugging Face config.json (its parsed content; reading the file is the shell's work)."""

from collections.abc import Mapping
from typing import Any

from planners.spec.models import InlineModel

_TIED_BY_DEFAULT = frozenset({"gemma", "gemma2", "gemma3_text", "starcoder2", "gpt_bigcode", "gpt2"})
"""Model types whose config classes tie the embeddings unless the file says otherwise."""

_PLAIN_FFN = frozenset({"starcoder2", "gpt_bigcode", "gpt_neox", "gpt2", "phi", "bloom", "mpt"})
"""Model types with two feed-forward matrices; all others read here are gated (three)."""

_NOT_A_TRANSFORMER = ("linear_num_key_heads", "mamba_num_heads", "ssm_state_size", "state_size")
"""Keys of linear-attention and state-space layers, whose parameters this module does not count."""


def inline_from_config(config: Mapping[str, Any], *, name: str) -> InlineModel:
    """The shape in a Hugging Face config.json (llama, qwen, mistral, mixtral, deepseek, gpt_neox, gpt_bigcode, ...).

    Raises ValueError that names the missing key, or pydantic's ValidationError for a value out of range.
    """
    text = config.get("text_config")
    if isinstance(text, Mapping):
        config = {**text, "model_type": text.get("model_type", config.get("model_type"))}
    strange = next((key for key in _NOT_A_TRANSFORMER if config.get(key)), None)
    if strange:
        raise ValueError(f"{strange!r} means linear-attention or state-space layers; give the shape with params_total")
    kind = str(config.get("model_type", "")).lower()
    hidden = _first(config, "hidden_size", "n_embd", "d_model")
    heads = _first(config, "num_attention_heads", "n_head", "n_heads")
    multi_query = 1 if config.get("multi_query") else None
    ffn = config.get("intermediate_size") or config.get("n_inner") or (4 * hidden if kind in _PLAIN_FFN else None)
    fields = {
        "name": name,
        "layers": _first(config, "num_hidden_layers", "n_layer", "n_layers"),
        "hidden": hidden,
        "heads": heads,
        "head_dim": config.get("head_dim"),
        "ffn": ffn,
        "vocab": _first(config, "vocab_size"),
        "kv_heads": config.get("num_key_value_heads") or multi_query or heads,
        "ffn_matrices": 2 if kind in _PLAIN_FFN else 3,
        "tied_embeddings": bool(config.get("tie_word_embeddings", kind in _TIED_BY_DEFAULT)),
    }
    return InlineModel.model_validate(fields | _moe_fields(config, ffn) | _mla_fields(config))


def _moe_fields(config: Mapping[str, Any], dense_ffn: Any) -> dict[str, Any]:
    experts = config.get("n_routed_experts") or config.get("num_experts") or config.get("num_local_experts")
    if not experts:
        return {}
    expert_ffn = config.get("moe_intermediate_size") or dense_ffn
    dense_layers = config.get("first_k_dense_replace") or len(config.get("mlp_only_layers") or ())
    shared_ffn = config.get("shared_expert_intermediate_size")
    return {
        "ffn": expert_ffn,
        "experts": experts,
        "experts_per_token": _first(config, "num_experts_per_tok", "num_experts_per_token", "moe_topk"),
        "shared_experts": config.get("n_shared_experts") or (1 if shared_ffn else None),
        "shared_ffn": shared_ffn or None,
        "dense_layers": dense_layers or None,
        "dense_ffn": dense_ffn if dense_layers else None,
    }


def _mla_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    if not config.get("kv_lora_rank"):
        return {}
    named = {"rope_dim": "qk_rope_head_dim", "nope_dim": "qk_nope_head_dim", "v_dim": "v_head_dim"}
    sizes = {field: _first(config, key) for field, key in named.items()}
    ranks = {"kv_lora_rank": config["kv_lora_rank"], "q_lora_rank": config.get("q_lora_rank")}
    return ranks | sizes | {"head_dim": None, "kv_heads": None}


def _first(config: Mapping[str, Any], *keys: str) -> Any:
    for key in keys:
        if config.get(key) is not None:
            return config[key]
    raise ValueError(f"config.json has no {keys[0]!r}")
