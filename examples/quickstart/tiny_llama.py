"""A language model built on the spot for the engine TRL: a tiny Llama that has read programs and learned syntax.

As a base model has, it has read much that is wrong and some that is right.  Nothing is downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from examples.quickstart.policy import Vocabulary, new_parameters, write_programs
from examples.quickstart.problems import PROBLEMS, Problem

UPDATES, BATCH, LEARNING_RATE = 200, 32, 3e-3
RIGHT_SHARE = 0.3
"""Of the programs that it reads; its own are right in 7 of 100 cases afterwards."""
MAX_TOKENS = 48
"""Of a program; the longest of the grammar has 41."""
_PIECE = r"^[^\n]+|\n *| ?'\w*'| ?\w+| ?[^\w\s]+"
"""The prompt is one token; then words, operators, quoted words, line breaks with their indentation."""


def prompt_of(problem: Problem) -> str:
    """What the model continues."""
    return f"{problem.prompt}\ndef solve({problem.arguments}):"


def base_model(seed: int) -> tuple[Any, Any]:
    """(model, tokenizer) after reading random programs of the grammar and, among them, answers."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    problems = [PROBLEMS[number] for number in rng.integers(len(PROBLEMS), size=UPDATES * BATCH)]
    vocabulary = Vocabulary(PROBLEMS)
    programs, _ = write_programs(new_parameters(vocabulary, rng), vocabulary, problems, rng)
    right = rng.random(len(problems)) < RIGHT_SHARE
    read = [p.answer if yes else program for p, program, yes in zip(problems, programs, right, strict=True)]
    texts = [f"{problem.prompt}\n{program}" for problem, program in zip(problems, read, strict=True)]
    tokenizer = _tokenizer(texts)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=128,
            initializer_range=0.1,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LEARNING_RATE, total_steps=UPDATES, pct_start=0.1)
    for start in range(0, len(texts), BATCH):
        batch = tokenizer(
            [text + tokenizer.eos_token for text in texts[start : start + BATCH]], padding=True, return_tensors="pt"
        )
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return model, tokenizer


def likeliest_programs(model: Any, tokenizer: Any, problems: Sequence[Problem]) -> list[str]:
    """What the model writes without chance."""
    prompts = tokenizer([prompt_of(problem) for problem in problems], padding=True, return_tensors="pt")
    tokens = model.generate(
        input_ids=prompts["input_ids"],
        attention_mask=prompts["attention_mask"],
        do_sample=False,
        max_new_tokens=MAX_TOKENS,
        pad_token_id=tokenizer.pad_token_id,
    )
    written = tokenizer.batch_decode(tokens[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)
    return [program_of(problem, text) for problem, text in zip(problems, written, strict=True)]


def program_of(problem: Problem, written: str) -> str:
    """The program that begins with the prompt's `def`."""
    return f"def solve({problem.arguments}):{written}"


def _tokenizer(texts: list[str]) -> Any:
    """A token for every piece of these texts."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = sorted({piece for text in texts for piece in re.findall(_PIECE, text)})
    special = {"pad_token": "[PAD]", "eos_token": "[EOS]", "unk_token": "[UNK]"}
    vocabulary = {piece: number for number, piece in enumerate([*special.values(), *pieces])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=special["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECE), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, padding_side="left", clean_up_tokenization_spaces=False, **special
    )
