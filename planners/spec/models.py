"""Who computes: a model by name, by its shape, or behind an API."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from planners.domain import WeightDtype
from planners.spec.spec_model import Count, CountOrZero, PerSecond, SpecModel, Text, UsdPerMillionTokens, Word

_Size = Annotated[int, Field(strict=True, ge=1, le=10**8)]
_Heads = Annotated[int, Field(strict=True, ge=1, le=4096)]
_Params = Annotated[float, Field(strict=True, ge=1e3, le=1e15, json_schema_extra={"unit": "parameters"})]

MAX_LAYERS = 2000
"""Ten times those of the deepest published models."""


class InlineModel(SpecModel):
    """A model by its shape; field names follow public configs.  `ffn` is per expert in mixture-of-experts models."""

    name: Word = Field(description="Name to print.")
    layers: Annotated[int, Field(strict=True, ge=1, le=MAX_LAYERS)] | None = Field(None, description="Layers.")
    hidden: _Size | None = Field(None, description="Hidden size.")
    heads: _Heads | None = Field(None, description="Query heads.")
    kv_heads: _Heads | None = Field(None, description="Key-value heads; default: as many as query heads.")
    head_dim: _Heads | None = Field(None, description="Size of a head; default: hidden / heads.")
    ffn: _Size | None = Field(None, description="Feed-forward size (of one expert in MoE models).")
    ffn_matrices: Literal[2, 3] = Field(3, description="3 for gated (SwiGLU) feed-forward, 2 for plain.")
    vocab: _Size | None = Field(None, description="Vocabulary size.")
    tied_embeddings: bool = Field(False, description="Input and output embedding share weights.")
    experts: Count | None = Field(None, description="Routed experts per MoE layer.")
    experts_per_token: Count | None = Field(None, description="Routed experts that a token visits.")
    shared_experts: CountOrZero | None = Field(None, description="Experts that every token visits.")
    shared_ffn: _Size | None = Field(None, description="Feed-forward size of a shared expert, if another.")
    dense_layers: CountOrZero | None = Field(None, description="Layers with a dense feed-forward in a MoE.")
    dense_ffn: _Size | None = Field(None, description="Feed-forward size of those layers.")
    attention_layers: Count | None = Field(
        None, description="Layers with a KV cache (the others: linear attention, state space); default: all."
    )
    window: Count | None = Field(None, description="Tokens that a layer with sliding-window attention sees.")
    window_layers: Count | None = Field(None, description="Layers with such a window; default: all with a KV cache.")
    state_bytes: Annotated[float, Field(strict=True, gt=0, le=1e12, json_schema_extra={"unit": "bytes"})] | None = (
        Field(None, description="State per sequence of linear-attention or state-space layers.")
    )
    kv_lora_rank: Count | None = Field(None, description="Latent KV size (multi-head latent attention).")
    q_lora_rank: Count | None = Field(None, description="Latent query size (MLA).")
    rope_dim: Count | None = Field(None, description="Rotary part of a head (MLA).")
    nope_dim: Count | None = Field(None, description="Non-rotary part of a head (MLA).")
    v_dim: Count | None = Field(None, description="Value size of a head (MLA).")
    params_total: _Params | None = Field(None, description="Parameters; default: computed from the shape.")
    params_active: _Params | None = Field(None, description="Parameters that one token uses.")
    weight_dtype: WeightDtype | None = Field(None, description="How the checkpoint stores its weights; default: bf16.")
    weight_group: Count | None = Field(None, description="Quantized weights that share a scale; default: by format.")
    unquantized_params: _Params | None = Field(
        None, description="Parameters that stay at 16 bits in a quantized checkpoint; default: the embeddings."
    )
    kv_dtype: Literal["bf16", "fp8"] | None = Field(None, description="KV cache that the checkpoint asks for.")
    max_context: Count | None = Field(None, description="Longest context that the positions reach.")
    note: Text | None = Field(None, description="What of the model is not counted; a warning of the plan.")

    @model_validator(mode="after")
    def _enough(self) -> Self:
        missing = [name for name in ("layers", "hidden", "heads", "ffn", "vocab") if getattr(self, name) is None]
        if missing and self.params_total is None:
            raise ValueError(f"a model needs {', '.join(missing)} (or at least params_total)")
        if (self.experts is None) != (self.experts_per_token is None):
            raise ValueError("experts and experts_per_token come together")
        if self.experts and self.experts_per_token and self.experts_per_token > self.experts:
            raise ValueError(f"experts_per_token ({self.experts_per_token}) is above experts ({self.experts})")
        if self.params_total and self.params_active and self.params_active > self.params_total:
            raise ValueError("params_active is above params_total")
        if self.window_layers and not self.window:
            raise ValueError("window_layers needs window")
        if self.kv_lora_rank and not (self.rope_dim and self.nope_dim and self.v_dim):
            raise ValueError("kv_lora_rank (MLA) also needs rope_dim, nope_dim and v_dim")
        return self


class ApiModel(SpecModel):
    """A model behind an API, paid per token.  A price left out comes from the price book, or is unknown."""

    name: Word = Field(description="Name of the model at its provider, e.g. claude-sonnet-4-5.")
    input_usd_per_million_tokens: UsdPerMillionTokens | None = Field(None, description="Uncached input.")
    cached_input_usd_per_million_tokens: UsdPerMillionTokens | None = Field(
        None, description="Input read from the provider's prompt cache."
    )
    cache_write_usd_per_million_tokens: UsdPerMillionTokens | None = Field(
        None, description="Input written to the cache; where nobody lists a price, what is written is plain input."
    )
    output_usd_per_million_tokens: UsdPerMillionTokens | None = Field(None, description="Output.")
    batch: bool = Field(False, description="Sent as batches: at batch prices, each answered within a day.")
    output_tokens_per_second: PerSecond | None = Field(None, description="Speed of one request.")
    requests_in_flight: Count | None = Field(None, description="Requests at once that the account allows.")
    tokens_per_minute: Count | None = Field(None, description="The account's rate limit, input and output.")


def _form(value: Any) -> str:
    return "<name>" if isinstance(value, str) else "<shape>"


ModelRef = Annotated[
    Annotated[Word, Tag("<name>")] | Annotated[InlineModel, Tag("<shape>")],
    Discriminator(_form),
    Field(description="Model by name, by its shape, or by the path of a local config.json."),
]


class Served(SpecModel):
    """A model that only generates: self-hosted (`model`) or paid per token (`api`)."""

    model: ModelRef | None = Field(None, description="Self-hosted model: name, shape or config.json.")
    api: ApiModel | None = Field(None, description="Model behind an API.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        check_one_of(self, "model", "api")
        return self


def check_one_of(part: SpecModel, first: str, second: str) -> None:
    """Exactly one of two fields is set.  Raises ValueError, which validation turns into a message."""
    given = [name for name in (first, second) if getattr(part, name) is not None]
    if len(given) != 1:
        raise ValueError(f"give either {first} or {second}" + (", not both" if given else ""))
