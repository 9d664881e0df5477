"""Which fields of a config.json look like sizes and were not read."""

import re
from collections.abc import Mapping
from typing import Any

_NO_SIZE = re.compile(
    r"(n_group|topk_group|num_expert_group|rotary_dim|qk_head_dim|no_rope_layers|no_rope_layer_interval|max_window_layers"
    r"|num_nextn_predict_layers|mtp_num_hidden_layers|num_mtp_modules|.*chunk_size|ep_size|(mamba_)?expand|time_step_rank"
    r"|tokenizer_vocab_size|num_logits_to_keep|layer_switch|type_vocab_size|experts_per_token|sliding_window(_size)?"
    r"|intermediate_size_mlp|moe_layer_end_index)"
)
"""Keys that say nothing of what is held: routing groups, kernels' blocks, the MTP module, which engines leave out."""

_LOOKS_LIKE_A_SIZE = re.compile(
    r"(^|_)(size|sizes|dim|dims|rank|layers?|heads?|experts?|windows?|groups?|intermediate|state|width|depth|blocks?"
    r"|expand|kernel|interval|period|pattern|shared|topk|num|types?)(_|$)|block_configs|(attn|attention|ffn|moe|ssm|mamba|linear|expert|hybrid)\w*_(config|cfg)$"
)


class ReadFields(dict[str, Any]):
    """A config that remembers which of its fields were read."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dict."""
        self.read.add(key)
        return super().get(key, default)


def unread_sizes(config: ReadFields) -> str | None:
    """Fields that look like sizes and that nothing here reads."""
    strange = [
        key
        for key, value in config.items()
        if key not in config.read
        and not _NO_SIZE.fullmatch(key)
        and _LOOKS_LIKE_A_SIZE.search(key)
        and (value > 1 if type(value) is int else isinstance(value, list | dict) and value)
    ]
    return f"fields of config.json that may change its size are not read: {', '.join(strange)}" if strange else None
