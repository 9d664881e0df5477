"""Shapes and data sheets as columns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clusterctl.catalog import load_gpus, load_models
from planners.physics.shape import gpu_columns, model_columns


@pytest.mark.parametrize("name", sorted(load_models()))
def test_every_known_model_has_sane_columns(name: str) -> None:
    shape = load_models()[name]
    m = model_columns(shape)
    assert float(m.params_expert) <= float(m.params_total) * 1.05
    assert float(m.params_matmul) <= float(m.params_total) * 1.01
    assert float(m.kv_width) > 0
    assert float(m.elements_per_token) > 0
    assert (float(m.experts) > 0) == bool(shape.experts)


@pytest.mark.parametrize("name", sorted(load_gpus()))
def test_every_known_gpu_has_sane_columns(name: str) -> None:
    g = gpu_columns(load_gpus()[name])
    assert float(g.fp8_flops) >= float(g.bf16_flops) > 1e13
    assert float(g.scale_up_bytes_per_s) > 1e9
    assert 0.3 < float(g.power_ratio) < 2


def test_a_missing_shape_is_filled_from_the_size() -> None:
    known = load_models()["meta-llama/Llama-3.1-8B"]
    bare = replace(
        known, layers=None, hidden=None, heads=None, kv_heads=None, head_dim=None, ffn=None, attention_layers=None
    )
    filled, full = model_columns(bare), model_columns(known)
    assert float(filled.hidden) == pytest.approx(float(full.hidden), rel=0.4)
    assert float(filled.layers) == pytest.approx(float(full.layers), rel=0.4)
    assert filled.params_total == full.params_total


def test_latent_attention_keeps_one_small_cache() -> None:
    deepseek, llama = (model_columns(load_models()[n]) for n in ("deepseek-ai/DeepSeek-V3", "meta-llama/Llama-3.1-70B"))
    assert float(deepseek.kv_width) < float(llama.kv_width)
    assert float(deepseek.is_mla) == 1
    assert float(deepseek.decode_attention_width) > float(deepseek.attention_width)
