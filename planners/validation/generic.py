"""A usual transformer of a size that a model's name tells: 13B, or 30B-A3B for mixture-of-experts."""

from __future__ import annotations

import re

from planners.domain import ModelShape

_SIZE = re.compile(r"(?<![a-z0-9.])(\d{1,4}(?:\.\d+)?)\s?([bm])(?![a-z0-9])", re.IGNORECASE)
_ACTIVE = re.compile(r"(?<![a-z0-9])a(\d{1,3}(?:\.\d+)?)b(?![a-z0-9])", re.IGNORECASE)
_EXPERTS_OF = re.compile(r"(?<![a-z0-9])(\d{1,3})x(\d{1,3}(?:\.\d+)?)b(?![a-z0-9])", re.IGNORECASE)

VOCAB = 128_000
HEAD_DIM = 128
MOE_EXPERTS, MOE_CHOSEN = 128, 8


def sizes_of(name: str) -> tuple[float, float] | None:
    """(total, active) parameters that a name tells, or None.  8x7B: experts share attention, so 0.84 of 56B."""
    mixture = _EXPERTS_OF.search(name)
    if mixture:
        experts, size = float(mixture.group(1)), float(mixture.group(2)) * 1e9
        return experts * size * 0.84, size * 1.8
    found = _SIZE.search(name)
    if not found:
        return None
    total = float(found.group(1)) * (1e9 if found.group(2).lower() == "b" else 1e6)
    active = _ACTIVE.search(name)
    return total, float(active.group(1)) * 1e9 if active else total


def generic_shape(name: str) -> ModelShape | None:
    """A usual shape of the size in `name`; None where the name tells none or one out of reason.

    Dense: h = sqrt(P/360) (30 layers at that width), grouped-query attention with 8 heads, feed-forward 3.5 h.
    Mixture: the active size sets width and depth; 128 experts of which 8 are chosen share the rest.
    Error: tens of percent in attention and KV cache; none in parameters.
    """
    sizes = sizes_of(name)
    if sizes is None or not 1e7 <= sizes[0] <= 5e12 or not 0 < sizes[1] <= sizes[0]:
        return None
    total, active = sizes
    hidden = max(256, round((active / 360) ** 0.5 / 128) * 128)
    layers = max(8, round(active / (12 * hidden * hidden)))
    mixture = active < 0.8 * total
    expert_ffn = None
    if mixture:
        per_width = layers * 3 * hidden
        expert_ffn = max(64, round((total - active) / (per_width * (MOE_EXPERTS - MOE_CHOSEN))))
    embedding = min(VOCAB * hidden, 0.2 * active)
    return ModelShape(
        name=name,
        params_total=total,
        params_active=active,
        params_matmul_active=active - embedding,
        layers=layers,
        hidden=hidden,
        heads=max(1, hidden // HEAD_DIM),
        kv_heads=min(8, max(1, hidden // HEAD_DIM)),
        head_dim=HEAD_DIM,
        ffn=expert_ffn if mixture else round(3.5 * hidden),
        ffn_matrices=3,
        vocab=VOCAB,
        tied_embeddings=False,
        experts=MOE_EXPERTS if mixture else None,
        experts_per_token=MOE_CHOSEN if mixture else None,
        moe_layers=layers if mixture else None,
        attention="gqa",
        params_from="stated",
        source="a usual shape of the size in the model's name",
    )
