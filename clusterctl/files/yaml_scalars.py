"""What a plain YAML scalar means: YAML 1.2, so that `no` and `on` stay text and `1e9` is a number."""

from __future__ import annotations

import re
from typing import Any

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}


def scalar_value(text: str) -> Any:
    """The value of a plain scalar, by YAML 1.2's core rules, underscores in numbers allowed."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text.lower() in _SPECIAL:
        return float(_SPECIAL[text.lower()])
    digits = text.replace("_", "")
    if _INT.fullmatch(text) and len(text) < 400:
        return int(digits)
    if _FLOAT.fullmatch(text) and not text.lstrip("-+").startswith("00"):
        number = float(digits)
        return int(number) if number.is_integer() and abs(number) < 2**63 else number
    return text
