"""What kind of model writes, told by its name: it decides how long responses are that nobody measured."""

from __future__ import annotations

import re

from planners.physics.codes import AGENT, BASE, INSTRUCT, REASONER

_REASONERS = re.compile(
    r"r1|qwq|thinking|reason|nemotron|gpt-?oss|magistral|glm-?[45]|deepseek-v3\.[1-9]|minimax-m|kimi-k2-t|qwen3|seed-oss",
    re.IGNORECASE,
)
_INSTRUCT = re.compile(r"instruct|chat|-it\b|[-_.]it[-_.]|\bit$|coder|assistant|tulu|olmo.*-(sft|dpo)", re.IGNORECASE)
_BASE = re.compile(r"base|pt\b", re.IGNORECASE)


def natural_class(model_name: str, *, turns: float = 1.0) -> float:
    """Code of the kind of model: an agent over several turns; else by the name's words, base where it has none.

    Reasoning families are those whose chat models think by default; "Instruct" or "Base" in the name overrules that.
    """
    name = model_name.rsplit("/", 1)[-1]
    if turns > 1:
        return AGENT
    if _BASE.search(name):
        return BASE
    if _INSTRUCT.search(name) and not re.search(r"r1|thinking|reason", name, re.IGNORECASE):
        return INSTRUCT
    return REASONER if _REASONERS.search(name) else BASE
