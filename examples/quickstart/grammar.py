"""The language of the policy: a grammar whose derivations are Python functions, most of them wrong.

A program is a sequence of choices, each a production for the leftmost open hole.  A colon, a comparison, a name or a
type can be wrong, so programs that don't compile, that raise and that never end are all in the language.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

RULES: dict[str, list[str]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
"""Productions by rule, with holes in braces.  `n a?` in front: only where there is an argument n or a."""
_HOLE = re.compile(r"\{([A-Z]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Production:
    """One way to fill a hole: pieces of text and, between them, the holes that it opens."""

    rule: str
    needs: frozenset[str]
    """Arguments of which one must be there; empty: always in scope."""
    texts: tuple[str, ...]
    """One more than there are holes."""
    holes: tuple[int, ...]
    """Places (numbers in PLACES) of its holes, in order."""


def _number_everything() -> tuple[tuple[Production, ...], tuple[str, ...]]:
    productions: list[Production] = []
    places = ["BODY"]
    for rule, texts in RULES.items():
        for text in texts:
            needs, _, rest = text.rpartition("?")
            pieces = _HOLE.split(rest)
            holes = tuple(range(len(places), len(places) + len(pieces) // 2))
            places += pieces[1::2]
            productions.append(
                Production(rule=rule, needs=frozenset(needs.split()), texts=tuple(pieces[::2]), holes=holes)
            )
    return tuple(productions), tuple(places)


PRODUCTIONS, PLACES = _number_everything()
"""All productions; and for every place where a hole can be (0: the whole body) the rule that fills it."""


@cache
def in_scope(arguments: str) -> tuple[bool, ...]:
    """Which productions a function with these arguments can use."""
    return tuple(not p.needs or not p.needs.isdisjoint(arguments.split(", ")) for p in PRODUCTIONS)


Hole = tuple[int, int, int]
"""Place of a hole, and the places of the two holes that it lies in."""


@dataclass(slots=True)
class Derivation:
    """A program being written, choice by choice, from left to right."""

    arguments: str
    choices: list[int] = field(default_factory=list)
    _text: list[str] = field(default_factory=list)
    _todo: list[str | Hole] = field(default_factory=lambda: [(0, 0, 0)])
    """Text and holes still to come, the next one last."""

    @property
    def hole(self) -> Hole | None:
        """The leftmost open hole; None once the program is complete."""
        while self._todo:
            piece = self._todo[-1]
            if not isinstance(piece, str):
                return piece
            self._text.append(piece)
            self._todo.pop()
        return None

    def choose(self, number: int) -> None:
        """Fill the leftmost hole.  Raises ValueError where the production is none of its rule."""
        hole, production = self.hole, PRODUCTIONS[number]
        if hole is None or PLACES[hole[0]] != production.rule:
            raise ValueError(f"production {number} does not fill this hole")
        self._todo.pop()
        self.choices.append(number)
        self._todo.append(production.texts[-1])
        for text, place in zip(production.texts[-2::-1], production.holes[::-1], strict=True):
            self._todo += [(place, hole[0], hole[1]), text]

    @property
    def source(self) -> str:
        """The program; whole once there is no hole."""
        return f"def solve({self.arguments}):\n{''.join(self._text)}"
