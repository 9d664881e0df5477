"""A model behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp or a provider's API."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusterctl_http import post_json

Message = dict[str, str]
_THOUGHTS = re.compile(r"^\s*<think>(.*?)</think>\s*", re.DOTALL)


@dataclass(frozen=True)
class Said:
    """One answer of a model."""

    text: str
    reasoning: str
    """What it thought before: the server's `reasoning_content`, or what stood in <think>; "" without."""
    finished: bool
    """False: cut at the limit of tokens."""


@dataclass
class Tokens:
    """What was used so far; several threads may add to it."""

    input: int = 0
    output: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, usage: dict[str, Any]) -> None:
        """Add the `usage` of an answer."""
        with self._lock:
            self.input += int(usage.get("prompt_tokens") or 0)
            self.output += int(usage.get("completion_tokens") or 0)


@dataclass
class ChatModel:
    """Equal replicas of one model.  `key_variable` names the environment variable that holds the API key."""

    urls: Sequence[str]
    model: str = "default"
    key_variable: str = ""
    patience_seconds: float = 600.0
    timeout_seconds: float = 600.0
    tokens: Tokens = field(default_factory=Tokens)

    def ask(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0, seed: int | None = None
    ) -> Said:
        """The model's answer.  Raises ServerAway, ServerRefused; ValueError for an answer without text or choices."""
        question: dict[str, Any] = {
            "model": self.model,
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
        }
        if seed is not None:
            question["seed"] = seed
        key = os.environ.get(self.key_variable, "") if self.key_variable else ""
        answer = post_json(
            self.urls,
            "/v1/chat/completions",
            question,
            patience_seconds=self.patience_seconds,
            timeout_seconds=self.timeout_seconds,
            headers={"Authorization": f"Bearer {key}"} if key else {},
        )
        self.tokens.add(answer.get("usage") or {})
        return said(answer)


def said(answer: dict[str, Any]) -> Said:
    """What an answer holds.  Raises ValueError where it holds no choice."""
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        text = str(message.get("content") or "")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError("a chat answer without choices") from error
    reasoning = str(message.get("reasoning_content") or message.get("reasoning") or "")
    thoughts = _THOUGHTS.match(text)
    if thoughts and not reasoning:
        reasoning, text = thoughts[1].strip(), text[thoughts.end() :]
    return Said(text=text, reasoning=reasoning, finished=choice.get("finish_reason") != "length")


def urls_of(variable: str) -> tuple[str, ...]:
    """The addresses in a variable, joined by commas, as the launcher fills it; those of providers end in /v1.

    Raises SystemExit without one.
    """
    urls = tuple(url.rstrip("/").removesuffix("/v1") for url in os.environ.get(variable, "").split(",") if url)
    if not urls:
        raise SystemExit(f"{variable} names no server")
    return urls


def model_of(said: dict[str, Any]) -> ChatModel:
    """The model that settings name: `urls` is the variable that holds its addresses."""
    return ChatModel(
        urls=said.get("addresses") or urls_of(said["urls"]),
        model=said.get("model", "default"),
        key_variable=said.get("key_variable", ""),
    )


def read_settings(file: Path) -> dict[str, Any]:
    """JSON; variables in the texts of its `settings` are filled in."""
    said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    filled = {
        name: os.path.expandvars(value) if isinstance(value, str) else value for name, value in said["settings"].items()
    }
    return said | {"settings": filled}


_FENCE = re.compile(r"```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)


def code_in(text: str) -> str:
    """The Python of an answer: its last fenced block that is not of another language, else the whole text."""
    blocks = [body for language, body in _FENCE.findall(text) if language.lower() in ("", "python", "py", "python3")]
    return (blocks[-1] if blocks else text).strip("\n") + "\n"
