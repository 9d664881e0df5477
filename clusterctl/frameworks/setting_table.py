"""Settings of a foreign configuration: dotted names, values, and the line where each stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from clusterctl.specfile.yaml_values import scalar

UNKNOWN = re.compile("\0([^\0\1]*)\1")
"""In a text: what a script only knows when it runs, e.g. `$1`."""
_REFERENCE = re.compile(r"\$\{([^${}]*)\}")
MOST_REFERENCES = 16


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a file, or a framework's own default."""

    key: str
    value: Any
    where: str = ""
    """`file:line`; empty: a default of the framework."""
    only_if: str = ""
    """A condition that the file states and nobody knows here."""

    @property
    def unknown(self) -> str:
        """What of the value is only known when the script runs; empty where all is known."""
        return ", ".join(UNKNOWN.findall(self.value)) if isinstance(self.value, str) else ""


def unknown(what: str) -> str:
    """The mark of something that only a run knows."""
    return f"\0{what}\1"


def plain(text: str) -> Any:
    """The value that a command line's text stands for: as YAML and Python write numbers, truth and nothing."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text == "None":
        return None
    if len(text) > 1 and text[0] == "[" and text[-1] == "]" and "{" not in text:
        return [plain(part) for part in text[1:-1].split(",") if part.strip()]
    return scalar(text)


@dataclass(slots=True)
class Settings:
    """The settings of one launch.  What is asked for counts as used; the rest is what a spec has no place for."""

    by_key: dict[str, Setting]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def get(self, *keys: str, default: bool = True) -> Setting | None:
        """The first of these settings that the file states, then the framework's default; None where neither does.

        A setting whose value is null, or only known to a run, is as good as not stated; see `unknown`.
        """
        for key in keys:
            if (found := self.by_key.get(key)) is not None:
                self.used.add(key)
                found = self._resolved(found)
                if found.value is not None and not found.unknown:
                    return found
        if default:
            return next((Setting(key, self.defaults[key]) for key in keys if self.defaults.get(key) is not None), None)
        return None

    def value(self, *keys: str) -> Any:
        """The value of `get`, or None."""
        found = self.get(*keys)
        return None if found is None else found.value

    def number(self, *keys: str, least: float = 1) -> Setting | None:
        """A number of at least `least`; None where it is smaller, which frameworks write for off."""
        found = self.get(*keys)
        if found is None or isinstance(found.value, bool):
            return None
        if not isinstance(found.value, int | float):
            return None
        return found if found.value >= least else None

    def count(self, *keys: str, least: int = 1) -> int | None:
        """A whole number of at least `least`."""
        found = self.number(*keys, least=least)
        return None if found is None or found.value != int(found.value) else int(found.value)

    def flag(self, *keys: str) -> bool | None:
        """Whether a switch is on."""
        found = self.value(*keys)
        return found if isinstance(found, bool) else None

    def under(self, prefix: str) -> Iterator[Setting]:
        """Every stated setting below a dotted name."""
        return (found for key, found in self.by_key.items() if key.startswith(prefix))

    def rest(self) -> list[Setting]:
        """Stated settings that nothing asked for, in the order of the file."""
        return [found for key, found in self.by_key.items() if key not in self.used]

    def unknowns(self) -> list[Setting]:
        """Settings that were asked for but are only known to a run."""
        asked = (self._resolved(found) for key, found in self.by_key.items() if key in self.used)
        return [found for found in asked if found.unknown]

    def _resolved(self, found: Setting) -> Setting:
        """A setting with `${other.setting}` replaced by what that says."""
        value = found.value
        for _ in range(MOST_REFERENCES):
            match = _REFERENCE.search(value) if isinstance(value, str) else None
            if match is None:
                return found if value is found.value else replace(found, value=value)
            inner = self._reference(match.group(1), found.key)
            value = inner if match.group(0) == value else value.replace(match.group(0), str(inner), 1)
        return replace(found, value=unknown("references without end"))

    def _reference(self, name: str, key: str) -> Any:
        """What `${name}` stands for, as OmegaConf reads it: another setting, a product, an environment variable."""
        resolver, colon, rest = name.partition(":")
        if colon and resolver in ("oc.env", "env"):
            default = rest.partition(",")[2]
            return plain(default) if default else unknown(f"${rest}")
        if colon and resolver in ("mul", "div", "max", "min"):
            return _calculated(resolver, [plain(part) for part in rest.split(",")]) or unknown("${" + name + "}")
        if colon and resolver == "oc.select":
            name = rest.split(",")[0]
        parents = len(name) - len(name.lstrip("."))
        if parents:
            name = ".".join([*key.split(".")[:-parents], name.lstrip(".")])
        found = self.by_key.get(name)
        if found is None:
            return self.defaults.get(name, unknown("${" + name + "}"))
        return found.value


def _calculated(resolver: str, values: list[Any]) -> Any:
    if not values or not all(isinstance(v, int | float) and abs(v) < 1e12 for v in values):
        return None
    if resolver in ("max", "min"):
        return max(values) if resolver == "max" else min(values)
    found = values[0]
    for other in values[1:]:
        if resolver == "div" and not other:
            return None
        found = found * other if resolver == "mul" else found // other
    return found
