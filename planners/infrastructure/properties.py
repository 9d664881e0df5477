"""Reading the properties of a resource: by path, tolerant of spelling, with what is known after apply kept apart."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from planners.infrastructure.value import UNKNOWN, Unknown

SECRET = "[secret]"  # noqa: S105 - how the engine masks a secret, not one
SECRET_KEY = "4dabf18193072939515e22adb298388d"  # noqa: S105 - the key that marks an object as special
SECRET_MARK = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105
OUTPUT_MARK = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
"""Keys and marks of special objects of the engine: github.com/pulumi/pulumi sdk/go/common/resource/sig."""
_UNKNOWNS = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
"""How the engine writes values that are known after apply: github.com/pulumi/pulumi
sdk/go/common/resource/plugin/rpc.go"""
_OUTPUT = re.compile(r"^(output|computed)<\w*>$")
_INTERNAL = ("__defaults", "__provider", "__inputs", "__initial", "__meta", "__fieldManager")
Number = float | Unknown | None


def known(value: Any) -> Any:
    """A property as the engine writes it, with UNKNOWN for what is known after apply, and secrets masked."""
    if isinstance(value, str):
        return UNKNOWN if value in _UNKNOWNS or (value.endswith(">") and _OUTPUT.match(value)) else value
    if isinstance(value, dict):
        mark = value.get(SECRET_KEY)
        if mark == SECRET_MARK:
            return SECRET
        if mark == OUTPUT_MARK:
            return known(value["value"]) if "value" in value else UNKNOWN
        return {key: known(each) for key, each in value.items() if not key.startswith("__") or key not in _INTERNAL}
    if isinstance(value, list):
        return [known(each) for each in value]
    return value


def filled(inputs: Any, outputs: Any) -> Any:
    """The inputs; what they leave out as the outputs have it."""
    if inputs is None or (inputs is UNKNOWN and outputs is not None):
        return outputs
    if isinstance(inputs, dict) and isinstance(outputs, dict):
        return {**outputs, **{key: filled(value, outputs.get(key)) for key, value in inputs.items()}}
    if isinstance(inputs, list) and isinstance(outputs, list) and len(inputs) == len(outputs):
        return [filled(value, output) for value, output in zip(inputs, outputs, strict=True)]
    return inputs


class Properties:
    """The properties of a resource, or an object in them.

    Paths have dots; of a list the first element counts, because providers differ in whether a single block is a list.
    Names match in any case (`osDiskSizeGB`, `osDiskSizeGb`).
    """

    __slots__ = ("values",)

    def __init__(self, values: Any) -> None:
        self.values: Mapping[str, Any] = values if isinstance(values, Mapping) else {}

    def get(self, *paths: str) -> Any:
        """The first path that has a value; None = absent; UNKNOWN = known after apply, also of an object above it."""
        for path in paths:
            value = _walk(self.values, path.split("."))
            if value is not None:
                return value
        return None

    def text(self, *paths: str) -> str:
        """Empty where absent, secret or known after apply."""
        value = self.get(*paths)
        return value if isinstance(value, str) and value != SECRET else ""

    def number(self, *paths: str) -> Number:
        """None = absent; UNKNOWN = known after apply, or no number."""
        return number(self.get(*paths))

    def flag(self, *paths: str) -> bool | None:
        """None = absent, or known after apply."""
        value = self.get(*paths)
        if isinstance(value, str):
            return {"true": True, "false": False}.get(value.lower())
        return value if isinstance(value, bool) else None

    def is_unknown(self, *paths: str) -> bool:
        """Whether the value is there and known after apply, or secret."""
        return self.get(*paths) in (UNKNOWN, SECRET)

    def under(self, *paths: str) -> Properties:
        """The object at a path; an empty one where there is none."""
        return Properties(self.get(*paths))

    def each(self, *paths: str) -> list[Properties]:
        """The objects of a list, or the single one."""
        return [Properties(value) for value in self.list(*paths)]

    def list(self, *paths: str) -> list[Any]:
        """The elements of a list, or the single value; empty where absent or known after apply."""
        for path in paths:
            *above, last = path.split(".")
            parent = _walk(self.values, above) if above else self.values
            value = _field(parent, last)
            if isinstance(value, Sequence) and not isinstance(value, str):
                return list(value)
            if value is not None and value is not UNKNOWN:
                return [value]
        return []


def number(value: Any) -> Number:
    """Of an int, a float or a text of one; None = absent; UNKNOWN = known after apply, or no number."""
    if value is None:
        return None
    if isinstance(value, bool):
        return UNKNOWN
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return UNKNOWN
    return found if math.isfinite(found) else UNKNOWN


def _walk(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = _field(value, name)
        if value is UNKNOWN or value is None:
            return value
        if isinstance(value, list):
            value = value[0] if value else None
    return value


def _field(value: Any, name: str) -> Any:
    if isinstance(value, list):
        value = value[0] if value else None
    if value is UNKNOWN:
        return UNKNOWN
    if not isinstance(value, Mapping):
        return None
    if name in value:
        return value[name]
    lower = name.lower()
    return next((each for key, each in value.items() if key.lower() == lower), None)
