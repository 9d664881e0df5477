"""From a model's shape, as a person states it, to the ModelShape that planning uses; and the count of parameters."""

from typing import Literal, NamedTuple

from planners.domain import ModelShape
from planners.spec.models import InlineModel

_AS_STATED = {
    *("name", "layers", "hidden", "heads", "ffn", "ffn_matrices", "vocab", "tied_embeddings", "experts", "shared_ffn"),
    *("experts_per_token", "kv_lora_rank", "q_lora_rank", "rope_dim", "nope_dim", "v_dim", "window", "state_bytes"),
    *("weight_dtype", "weight_group", "unquantized_params", "kv_dtype", "max_context", "note"),
}
"""Fields that a shape takes from what is stated, as it is."""


FROM_SPEC = "the run spec"
"""Source of a shape that the spec states itself."""


class ParamCount(NamedTuple):
    """Parameters; norms and biases left out."""

    total: float
    active: float
    matmul_active: float


def count_params(model: InlineModel) -> ParamCount:
    """Parameters of a decoder-only transformer, dense or mixture of experts.

    attention: 2·h·heads·d + 2·h·kv_heads·d; MLA: query (low rank if stated), compressed KV, its expansion, output.
    feed-forward: matrices·h·ffn per dense layer; (experts + shared)·matrices·h·ffn + h·experts (router) per MoE
    layer, of which experts_per_token + shared are active.  Embeddings: vocab·h, twice if untied.
    Error: below 0.1 % against published totals of 50 models (norms, biases, position tables are left out).
    Raises ValueError where a size is missing.
    """
    layers, hidden, vocab = size_of(model, "layers"), size_of(model, "hidden"), size_of(model, "vocab")
    one_ffn = model.ffn_matrices * hidden * size_of(model, "ffn")
    attention = layers * attention_params(model)
    if model.experts is None or model.experts_per_token is None:
        total = active = attention + layers * one_ffn
    else:
        dense_layers = model.dense_layers or 0
        moe_layers = layers - dense_layers
        dense = dense_layers * model.ffn_matrices * hidden * (model.dense_ffn or size_of(model, "ffn"))
        shared_ffn = model.ffn_matrices * hidden * (model.shared_ffn or size_of(model, "ffn"))
        always = attention + dense + moe_layers * ((model.shared_experts or 0) * shared_ffn + hidden * model.experts)
        total = always + moe_layers * model.experts * one_ffn
        active = always + moe_layers * model.experts_per_token * one_ffn
    embedding = vocab * hidden
    both = embedding if model.tied_embeddings else 2 * embedding
    return ParamCount(float(total + both), float(active + both), float(active + embedding))


def shape_of(model: InlineModel, *, source: str = FROM_SPEC) -> ModelShape:
    """The ModelShape of an inline model.  Stated parameter counts win over counted ones."""
    is_whole = None not in (model.layers, model.hidden, model.heads, model.ffn, model.vocab)
    counted = count_params(model) if is_whole else None
    total = model.params_total or (counted.total if counted else None)
    if total is None:
        raise ValueError("a model needs a whole shape or params_total")
    active = model.params_active or (counted.active if counted and not model.params_total else None) or total
    input_embedding = 0 if counted is None else counted.active - counted.matmul_active
    if active <= input_embedding:
        raise ValueError(f"{model.name}: {active:g} active parameters are fewer than its input embedding has")
    is_mla = model.kv_lora_rank is not None
    head_dim = model.head_dim or (model.hidden // model.heads if model.hidden and model.heads else None)
    moe_layers = model.layers - (model.dense_layers or 0) if model.layers and model.experts else None
    return ModelShape(
        **{field: getattr(model, field) for field in _AS_STATED},
        params_total=total,
        params_active=active,
        params_matmul_active=active - input_embedding,
        kv_heads=None if is_mla else model.kv_heads or model.heads,
        head_dim=None if is_mla else head_dim,
        shared_experts=model.shared_experts or None,
        dense_layers=model.dense_layers or None,
        dense_ffn=model.dense_ffn if model.dense_layers else None,
        moe_layers=moe_layers,
        attention=_attention_kind(model),
        attention_layers=model.attention_layers or model.layers,
        window_layers=(model.window_layers or model.attention_layers or model.layers) if model.window else None,
        params_from="stated" if model.params_total else "shape",
        source=source,
    )


def attention_params(model: InlineModel) -> int:
    """Parameters of one attention layer.  Raises ValueError where a size is missing."""
    hidden, heads = size_of(model, "hidden"), size_of(model, "heads")
    if model.kv_lora_rank is None:
        head_dim = model.head_dim or hidden // heads
        return 2 * hidden * heads * head_dim + 2 * hidden * (model.kv_heads or heads) * head_dim
    rope, nope, value = size_of(model, "rope_dim"), size_of(model, "nope_dim"), size_of(model, "v_dim")
    query_width = heads * (nope + rope)
    rank = model.q_lora_rank
    query = hidden * query_width if rank is None else hidden * rank + rank * query_width
    latent = hidden * (model.kv_lora_rank + rope) + model.kv_lora_rank * heads * (nope + value)
    return query + latent + heads * value * hidden


def _attention_kind(model: InlineModel) -> Literal["mha", "gqa", "mqa", "mla", "hybrid"]:
    if model.attention_layers and model.layers and model.attention_layers < model.layers:
        return "hybrid"
    if model.kv_lora_rank is not None:
        return "mla"
    kv_heads = model.kv_heads or model.heads
    if kv_heads == model.heads:
        return "mha"
    return "mqa" if kv_heads == 1 else "gqa"


def size_of(model: InlineModel, field: str) -> int:
    """A size that counting needs.  Raises ValueError where it is missing."""
    value = getattr(model, field)
    if not isinstance(value, int):
        raise ValueError(f"{model.name}: {field} is missing")
    return value


def tensor_parallel_degrees(model: ModelShape) -> tuple[int, ...]:
    """Degrees that engines and trainers accept, ascending; empty where the heads are unknown.

    The degree divides the query heads and the feed-forward of dense models; KV heads are divided, or each is held by
    several GPUs (vLLM's QKVParallelLinear, SGLang, Megatron-Core).
    """
    heads, kv_heads = model.heads or 0, model.kv_heads
    ffn = 0 if model.experts else model.ffn or 0
    whole = [degree for degree in range(1, heads + 1) if heads % degree == 0 and ffn % degree == 0]
    return tuple(d for d in whole if kv_heads is None or kv_heads % d == 0 or d % kv_heads == 0)


def tensor_parallel_error(model: ModelShape, degree: float | None) -> str | None:
    """Why a stated degree is refused, with the allowed ones; None where it is fine."""
    allowed = tensor_parallel_degrees(model)
    if not degree or not allowed or degree in allowed:
        return None
    kv_heads = f" and {model.kv_heads} KV heads" if model.kv_heads else ""
    above = (
        f" (KV heads are replicated above {model.kv_heads})" if (model.kv_heads or allowed[-1]) < allowed[-1] else ""
    )
    degrees = ", ".join(map(str, allowed))
    return f"tp {degree:g} does not divide {model.heads} attention heads{kv_heads}; allowed: {degrees}{above}"
