"""The policy: a small network that chooses productions one after the other, given the problem and what it wrote so far.

Shapes: N = choices, K = features that are on, C = productions, H = hidden units.
logits = tanh(sum of the K rows of `features` that are on + `bias`) @ `out`, over the productions that fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from examples.quickstart.grammar import PLACES, PRODUCTIONS, Derivation, in_scope
from examples.quickstart.problems import Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Parameters = dict[str, Floats]

HIDDEN_UNITS = 64
WORDS = 12
"""Most words of a problem that the policy sees."""
DEPTH = 3
"""Places that it sees: of the hole, and of the two holes around it."""
LAST_CHOICES = 2
FEATURES_SCALE = 0.4
"""Spread of the first layer: wide enough that hidden units tell problems and places apart before any training."""
_FITS = {rule: np.array([p.rule == rule for p in PRODUCTIONS]) for rule in set(PLACES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Choices as columns: what the policy saw (N, K), which productions fit (N, C), its choice, how likely it was."""

    seen: Ints
    fits: NDArray[np.bool_]
    chosen: Ints
    log_prob: Floats
    sample: Ints
    """Number of the program that each choice belongs to."""


class Vocabulary:
    """Numbers of the features: the words of all problems, then places by depth, then choices by how long ago."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        words = sorted({word for problem in problems for word in problem.words})
        self._words = {word: number + 1 for number, word in enumerate(words)}
        self._places = len(words) + 1
        self._choices = self._places + DEPTH * len(PLACES)
        self.size = self._choices + LAST_CHOICES * (len(PRODUCTIONS) + 1)

    def features(self, problem: Problem, derivation: Derivation) -> list[int]:
        """Numbers of the K features that are on; 0 is none."""
        words = sorted(self._words[word] for word in problem.words)[:WORDS]
        places = [self._places + depth * len(PLACES) + place for depth, place in enumerate(derivation.hole or ())]
        last = [*derivation.choices[: -LAST_CHOICES - 1 : -1], -1, -1][:LAST_CHOICES]
        before = [self._choices + ago * (len(PRODUCTIONS) + 1) + choice + 1 for ago, choice in enumerate(last)]
        return words + [0] * (WORDS - len(words)) + places + before


def new_parameters(vocabulary: Vocabulary, rng: np.random.Generator) -> Parameters:
    """Random first layer, zero output layer: at first every production that fits is equally likely."""
    features = rng.normal(0.0, FEATURES_SCALE, (vocabulary.size, HIDDEN_UNITS))
    features[0] = 0.0
    return {"features": features, "bias": np.zeros(HIDDEN_UNITS), "out": np.zeros((HIDDEN_UNITS, len(PRODUCTIONS)))}


def forward(parameters: Parameters, seen: Ints, fits: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """(hidden units (N, H), log-probabilities (N, C); -inf where a production doesn't fit)."""
    hidden = np.tanh(parameters["features"][seen].sum(axis=1) + parameters["bias"])
    logits = np.where(fits, hidden @ parameters["out"], -np.inf)
    logits -= logits.max(axis=1, keepdims=True)
    return hidden, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def write_programs(
    parameters: Parameters, vocabulary: Vocabulary, problems: Sequence[Problem], rng: np.random.Generator | None
) -> tuple[list[str], Choices]:
    """A program for each problem, choice by choice, all side by side.  No `rng`: always the likeliest choice."""
    drafts = {number: Derivation(problem.arguments) for number, problem in enumerate(problems)}
    programs = [""] * len(problems)
    rounds = []
    while drafts:
        numbers = np.array(list(drafts))
        seen = np.array([vocabulary.features(problems[n], draft) for n, draft in drafts.items()])
        fits = np.array(
            [_FITS[PLACES[draft.hole[0]]] & in_scope(draft.arguments) for draft in drafts.values() if draft.hole]
        )
        _, log_probs = forward(parameters, seen, fits)
        noise = 0.0 if rng is None else rng.gumbel(size=log_probs.shape)
        chosen = np.argmax(log_probs + noise, axis=1)
        rounds.append((seen, fits, chosen, log_probs[np.arange(len(chosen)), chosen], numbers))
        for number, production in zip(numbers.tolist(), chosen.tolist(), strict=True):
            drafts[number].choose(production)
            if drafts[number].hole is None:
                programs[number] = drafts.pop(number).source
    seen, fits, chosen, log_prob, sample = (np.concatenate(column) for column in zip(*rounds, strict=True))
    return programs, Choices(seen=seen, fits=fits, chosen=chosen, log_prob=log_prob, sample=sample)
