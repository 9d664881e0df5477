"""Published config.json files, shortened to the fields that decide sizes, against published sizes."""

from __future__ import annotations

from typing import Any

import pytest

from clusterctl.catalog.lookup import find_model, model_rows
from planners.domain import ModelShape
from planners.physics.columns import one
from planners.physics.shape import model_columns
from planners.spec.hf_config import inline_from_config
from planners.spec.shapes import shape_of
from planners.units import GIB
from planners.workload.weight_formats import served_weights

LLAMA_70B = {
    "model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
    "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False,
}  # fmt: skip
DEEPSEEK = {
    "model_type": "deepseek_v3", "first_k_dense_replace": 3, "hidden_size": 7168, "intermediate_size": 18432,
    "kv_lora_rank": 512, "moe_intermediate_size": 2048, "n_routed_experts": 256, "n_shared_experts": 1,
    "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
    "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "vocab_size": 129280,
    "max_position_embeddings": 163840,
    "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096},
}  # fmt: skip
GPT_OSS = {
    "model_type": "gpt_oss", "head_dim": 64, "hidden_size": 2880, "intermediate_size": 2880, "num_attention_heads": 64,
    "num_key_value_heads": 8, "num_hidden_layers": 36, "num_local_experts": 128, "num_experts_per_tok": 4,
    "experts_per_token": 4, "vocab_size": 201088, "sliding_window": 128, "tie_word_embeddings": False,
    "layer_types": ["sliding_attention", "full_attention"] * 18,
    "quantization_config": {
        "quant_method": "mxfp4",
        "modules_to_not_convert": [
            "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head",
        ],
    },
}  # fmt: skip
KIMI_THINKING = DEEPSEEK | {
    "model_type": "kimi_k2",
    "num_attention_heads": 64,
    "n_routed_experts": 384,
    "first_k_dense_replace": 1,
    "vocab_size": 163840,
    "quantization_config": {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", r"re:.*mlp\.(gate|up|gate_up|down)_proj.*"],
        "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": 32}}},
    },
}
QWEN3_NEXT = {
    "model_type": "qwen3_next", "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 16,
    "num_key_value_heads": 2, "head_dim": 256, "num_experts": 512, "num_experts_per_tok": 10,
    "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512, "intermediate_size": 5120,
    "vocab_size": 151936, "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
    "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "full_attention_interval": 4,
}  # fmt: skip
MINIMAX = {
    "model_type": "minimax_m1", "hidden_size": 6144, "num_hidden_layers": 80, "num_attention_heads": 64,
    "num_key_value_heads": 8, "head_dim": 128, "num_local_experts": 32, "num_experts_per_tok": 2,
    "intermediate_size": 9216, "vocab_size": 200064, "attn_type_list": ([0] * 7 + [1]) * 10,
}  # fmt: skip
NEMOTRON = {
    "model_type": "nemotron_h", "hidden_size": 2688, "num_hidden_layers": 52, "num_attention_heads": 32,
    "num_key_value_heads": 2, "head_dim": 128, "intermediate_size": 1856, "moe_intermediate_size": 1856,
    "n_routed_experts": 128, "n_shared_experts": 1, "num_experts_per_tok": 6,
    "moe_shared_expert_intermediate_size": 3712, "vocab_size": 131072, "mamba_num_heads": 64, "mamba_head_dim": 64,
    "ssm_state_size": 128, "n_groups": 8, "conv_kernel": 4,
    "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
}  # fmt: skip


def read(config: dict[str, Any]) -> ModelShape:
    return shape_of(inline_from_config(config, name="x"))


def weight_bytes(model: ModelShape, *, policy: bool = False) -> float:
    columns, held = model_columns(model), served_weights(model, None, policy=policy)
    experts = one(columns.params_expert)
    return (model.params_total - experts) * held.dense + experts * held.expert


@pytest.mark.parametrize(
    ("config", "billions"),
    [
        (QWEN3_NEXT, 79.7),  # model card of Qwen3-Next-80B-A3B: 80B
        (MINIMAX, 456.0),  # arXiv:2506.13585: 456 billion
        (NEMOTRON, 31.6),  # model card of Nemotron 3 Nano: 31.6B
        (DEEPSEEK, 671.0),  # arXiv:2412.19437: 671B
        (GPT_OSS, 116.8),  # arXiv:2508.10925, table 1
    ],
    ids=["gated-deltanet", "lightning", "mamba2", "mla", "gpt-oss"],
)
def test_parameters_of_unusual_layers_match_the_published_total(config: dict[str, Any], billions: float) -> None:
    assert read(config).params_total / 1e9 == pytest.approx(billions, rel=0.004)


@pytest.mark.parametrize("name", ["MiniMaxAI/MiniMax-M1-80k", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"])
def test_hybrids_keep_the_state_of_the_catalogue(name: str) -> None:
    config = MINIMAX if "MiniMax" in name else NEMOTRON
    known, shape = find_model(name), read(config)
    assert (shape.state_bytes, shape.attention_layers) == (known.state_bytes, known.attention_layers)
    assert (shape.attention, shape.moe_layers) == ("hybrid", known.moe_layers)


W8A8 = {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 8, "type": "float"}}}}


@pytest.mark.parametrize(
    ("config", "gib"),
    [
        (LLAMA_70B, 131.4),
        (LLAMA_70B | {"quantization_config": W8A8 | {"ignore": ["lm_head"]}}, 67.7),
        (LLAMA_70B | {"quantization_config": W8A8}, 66.7),  # the output head too
        (LLAMA_70B | {"quantization_config": {"quant_method": "fp8"}}, 67.7),
        (LLAMA_70B | {"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}}, 67.7),
        (LLAMA_70B | {"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, 39.8),
        # hugging-quants/Meta-Llama-3.1-70B-Instruct-{AWQ,GPTQ}-INT4: 39.8 GB of files
        (LLAMA_70B | {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}, 36.8),
        (LLAMA_70B | {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}}, 36.8),
        (LLAMA_70B | {"quantization_config": {"quant_method": "gptq", "bits": 8}}, 67.7),
        (LLAMA_70B | {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, 36.8),
        (GPT_OSS, 60.8),  # arXiv:2508.10925, table 1: checkpoint of 60.8 GiB
        (KIMI_THINKING, 553.0),  # moonshotai/Kimi-K2-Thinking: 594 GB of files
        (DEEPSEEK | {"quantization_config": {"quant_method": "fp8"}}, 626.7),  # 671 GB and 16-bit embeddings
    ],
    ids=lambda value: str(value.get("quantization_config", ""))[:60] if isinstance(value, dict) else None,
)
def test_quantized_weights_have_their_own_bytes(config: dict[str, Any], gib: float) -> None:
    assert weight_bytes(read(config)) / GIB == pytest.approx(gib, rel=0.004)


def test_layers_that_a_checkpoint_keeps_at_16_bits_count_by_layer() -> None:
    first = [f"model.layers.{i}.self_attn.{part}_proj" for i in range(8) for part in "qkvo"]
    some = LLAMA_70B | {"quantization_config": {"quant_method": "fp8", "ignored_layers": ["lm_head", *first]}}
    attention = 80 * (2 * 8192 * 8192 + 2 * 8192 * 1024)
    usual = weight_bytes(read(LLAMA_70B | {"quantization_config": {"quant_method": "fp8"}}))
    assert weight_bytes(read(some)) - usual == pytest.approx(0.1 * attention, rel=1e-6)


def test_a_policy_is_served_in_published_fp8_and_never_in_4_bits() -> None:
    fp8 = read(LLAMA_70B | {"quantization_config": {"quant_method": "fp8"}})
    awq = read(LLAMA_70B | {"quantization_config": {"quant_method": "awq", "bits": 4}})
    assert weight_bytes(fp8, policy=True) == weight_bytes(fp8)
    assert weight_bytes(awq, policy=True) == 2.0 * awq.params_total
    assert served_weights(fp8, "bf16", policy=False).dense == 2.0


def test_names_say_how_weights_are_stored() -> None:
    assert find_model("Qwen/Qwen3-32B-FP8").weight_dtype == "fp8"
    assert find_model("Qwen/Qwen2.5-72B-Instruct-GPTQ-Int8").weight_dtype == "int8"
    assert find_model("Qwen2.5-32B-Instruct-AWQ").weight_dtype == "int4"
    assert find_model("Qwen/Qwen3-32B").weight_dtype is None
    assert find_model("deepseek-ai/DeepSeek-R1").weight_dtype == "fp8"
    assert find_model("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16").weight_dtype is None


def test_a_cache_scheme_of_the_checkpoint_is_read() -> None:
    scheme = {"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"}}
    assert read(LLAMA_70B | {"quantization_config": W8A8 | scheme}).kv_dtype == "fp8"
    assert read(LLAMA_70B | {"quantization_config": W8A8}).kv_dtype is None


@pytest.mark.parametrize(
    ("change", "window", "layers"),
    [
        ({"model_type": "mistral", "sliding_window": 4096}, 4096, 80),
        ({"model_type": "mistral", "sliding_window": None}, None, None),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, None, None),
        ({"model_type": "qwen2", "sliding_window": 4096}, None, None),
        (
            {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 70},
            4096,
            10,
        ),
        ({"model_type": "gemma2", "sliding_window": 4096}, 4096, 40),
        ({"model_type": "gemma3_text", "sliding_window": 1024, "sliding_window_pattern": 6}, 1024, 67),
        ({"model_type": "exaone4", "sliding_window": 4096, "sliding_window_pattern": "LLLG"}, 4096, 60),
        (
            {
                "model_type": "x",
                "sliding_window": 512,
                "layer_types": ["sliding_attention"] * 60 + ["full_attention"] * 20,
            },
            512,
            60,
        ),
        ({"model_type": "llama4_text", "attention_chunk_size": 8192}, 8192, 60),
    ],
)
def test_windows_by_layer(change: dict[str, Any], window: int | None, layers: int | None) -> None:
    shape = read(LLAMA_70B | change)
    assert (shape.window, shape.window_layers, shape.attention_layers) == (window, layers, 80)


def test_the_window_of_every_catalogued_model_has_layers() -> None:
    assert {row["name"] for row in model_rows() if "window" in row} >= {"openai/gpt-oss-120b", "google/gemma-2-9b"}
    assert all(0 < row["window_layers"] <= row["attention_layers"] for row in model_rows() if "window" in row)


@pytest.mark.parametrize("key", ["text_config", "llm_config", "language_config"])
def test_nested_text_configs_inherit_what_the_outer_part_says(key: str) -> None:
    outer = {"model_type": "vlm", "tie_word_embeddings": True, "quantization_config": {"quant_method": "fp8"}}
    inner = {name: value for name, value in LLAMA_70B.items() if name != "tie_word_embeddings"}
    shape = read(outer | {key: inner, "vision_config": {"hidden_size": 1280}})
    assert (shape.layers, shape.tied_embeddings, shape.weight_dtype) == (80, True, "fp8")


def test_yarn_stretches_the_context() -> None:
    qwen = {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}}
    assert read(LLAMA_70B | qwen | {"max_position_embeddings": 32768}).max_context == 131_072
    assert read(DEEPSEEK).max_context == 163_840
    linear = {"rope_scaling": {"rope_type": "linear", "factor": 8.0}, "max_position_embeddings": 131_072}
    assert read(LLAMA_70B | linear).max_context == 131_072


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"index_head_dim": 128, "index_topk": 2048}, "index_head_dim, index_topk"),
        ({"num_kv_shared_layers": 10}, "num_kv_shared_layers"),
        ({"moe_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16}}, "moe_config"),
        ({"quantization_config": {"quant_method": "vptq"}}, "'vptq' is not understood"),
        (
            {
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "config_groups": {
                        "a": {"weights": {"num_bits": 8, "type": "float"}},
                        "b": {"weights": {"num_bits": 4, "type": "int"}},
                    },
                }
            },
            "several formats",
        ),
    ],
)
def test_a_field_that_may_change_sizes_and_is_not_read_is_said(change: dict[str, Any], said: str) -> None:
    assert said in (read(LLAMA_70B | change).note or "")


@pytest.mark.parametrize("config", [LLAMA_70B, DEEPSEEK, GPT_OSS, KIMI_THINKING, QWEN3_NEXT, MINIMAX, NEMOTRON])
def test_what_is_read_is_not_complained_of(config: dict[str, Any]) -> None:
    assert read(config).note is None


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "falcon_h1", "mamba_d_state": 256},
        {"linear_attn_config": {"kda_layers": [1, 2, 3]}},
        {"layer_types": ["full_attention"] * 79 + ["telepathy"]},
        {"layer_types": ["linear_attention"] * 80},
        {"hidden_size": "large"},
        {"attn_type_list": [[1]] * 80},
        {"num_hidden_layers": 10**400},
        {"num_hidden_layers": 2_000_000_000},
        {"num_hidden_layers": 0},
    ],
)
def test_layers_that_are_not_understood_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"params_total|valid integer|of another type|1 to 2,000 layers"):
        inline_from_config(LLAMA_70B | change, name="x")


def test_names_of_other_families_are_read() -> None:
    """ChatGLM, Falcon and ERNIE name the same sizes otherwise."""
    glm = {
        "num_layers": 40,
        "ffn_hidden_size": 13696,
        "multi_query_group_num": 2,
        "kv_channels": 128,
        "padded_vocab_size": 151552,
        "hidden_size": 4096,
        "num_attention_heads": 32,
    }
    shape = read(glm)
    assert (shape.layers, shape.ffn, shape.kv_heads, shape.head_dim, shape.vocab) == (40, 13696, 2, 128, 151552)
    ernie = LLAMA_70B | {"moe_num_experts": 64, "moe_k": 6, "moe_intermediate_size": 1536, "moe_num_shared_experts": 2}
    assert (read(ernie).experts, read(ernie).experts_per_token, read(ernie).shared_experts) == (64, 6, 2)


ATTENTION = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8}
GEMMA_27B = {
    "model_type": "gemma3_text", "head_dim": 128, "hidden_size": 5376, "intermediate_size": 21504,
    "num_attention_heads": 32, "num_hidden_layers": 62, "num_key_value_heads": 16, "sliding_window": 1024,
}  # fmt: skip
GEMMA_4B = {
    "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
    "sliding_window": 1024,
}  # fmt: skip
FALCON_7B = {
    "model_type": "falcon", "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71,
    "vocab_size": 65024, "multi_query": True,
}  # fmt: skip
DBRX = {
    "model_type": "dbrx", "d_model": 6144, "n_heads": 48, "n_layers": 40, "vocab_size": 100352, "max_seq_len": 32768,
    "attn_config": {"kv_n_heads": 8, "clip_qkv": 8},
    "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
}  # fmt: skip
ERNIE_300B = {
    "model_type": "ernie4_5_moe", "hidden_size": 8192, "intermediate_size": 28672, "moe_intermediate_size": 3584,
    "moe_num_experts": 64, "moe_k": 8, "moe_layer_start_index": 3, "moe_layer_end_index": 53, "moe_layer_interval": 1,
    "num_hidden_layers": 54, "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 103424,
}  # fmt: skip
HUNYUAN = ATTENTION | {
    "model_type": "hunyuan_v1_moe",
    "intermediate_size": 3072,
    "moe_intermediate_size": [3072] * 32,
    "num_experts": 64,
    "moe_topk": [8] * 32,
    "num_shared_expert": [1] * 32,
    "attention_head_dim": 128,
    "vocab_size": 128167,
    "tie_word_embeddings": True,
}


@pytest.mark.parametrize(
    ("config", "billions"),
    [
        ({"model_type": "gemma3", "text_config": GEMMA_27B}, 27.0),  # arXiv:2503.19786, table 1: 25.6 + 1.4 B
        ({"model_type": "gemma3", "text_config": GEMMA_4B}, 3.88),  # the same: 3,209 + 675 M
        (FALCON_7B, 6.92),  # tiiuae/falcon-7b: 6.92B, the head is the embedding
        (DBRX, 131.6),  # databricks/dbrx-instruct: 132B
        (ERNIE_300B, 300.0),  # baidu/ERNIE-4.5-300B-A47B
        (HUNYUAN, 80.4),  # tencent/Hunyuan-A13B-Instruct: 80B
    ],
    ids=["gemma3-27b", "gemma3-4b", "falcon", "dbrx", "ernie", "hunyuan"],
)
def test_sizes_that_families_leave_out_nest_or_list(config: dict[str, Any], billions: float) -> None:
    shape = read(config)
    assert shape.params_total / 1e9 == pytest.approx(billions, rel=0.004)
    assert shape.note is None


def test_norms_that_stay_at_16_bits_do_not_keep_attention_there() -> None:
    """Qwen3's FP8 checkpoints list `post_attention_layernorm` of every layer."""
    norms = [f"model.layers.{layer}.post_attention_layernorm" for layer in range(80)]
    plain = {"quantization_config": {"quant_method": "fp8"}}
    listed = {"quantization_config": {"quant_method": "fp8", "modules_to_not_convert": ["lm_head", *norms]}}
    assert weight_bytes(read(LLAMA_70B | listed)) == weight_bytes(read(LLAMA_70B | plain))
