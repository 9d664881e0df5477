"""A reward model that predicts whether a program passes its tests, in place of a share of the executions.

Which samples it decides follows from the sample alone, so that the same sample is always decided in the same way.
The samples that are run are asked about too, so that its agreement with the sandbox is known at every step.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from clusterctl_http import post_json

PASSES = 0.5


@dataclass(frozen=True)
class OutcomeCritic:
    """The served model; `replaced_share` of the executions are its predictions."""

    urls: Sequence[str]
    replaced_share: float
    model: str = "default"
    patience_seconds: float = 600.0
    timeout_seconds: float = 120.0

    def decides(self, problem: str, answer: str) -> bool:
        """Whether this sample is predicted and not run."""
        digest = hashlib.sha256(f"{problem}\0{answer}".encode(errors="surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") / 2**64 < self.replaced_share

    def chances(self, samples: Sequence[tuple[str, str]]) -> list[float]:
        """Predicted chance that each (problem, answer) passes.

        Asks vLLM's `POST /classify` (served with `--runner pooling`), which `reward_server.py` answers too.  Raises
        ServerAway, ServerRefused; ValueError for an answer that is none.
        """
        if not samples:
            return []
        question = {"model": self.model, "input": [text_of(*sample) for sample in samples]}
        answer = post_json(
            self.urls,
            "/classify",
            question,
            patience_seconds=self.patience_seconds,
            timeout_seconds=self.timeout_seconds,
        )
        try:
            rows = sorted(answer["data"], key=lambda row: row["index"])
            chances = [float(row["probs"][-1]) for row in rows]
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError("the answer of the outcome critic holds no `data` with `probs`") from error
        if len(chances) != len(samples) or not all(math.isfinite(chance) for chance in chances):
            raise ValueError(f"{len(chances)} predictions for {len(samples)} samples")
        return chances


def text_of(problem: str, answer: str) -> str:
    """What the model reads; its training data is written in the same form."""
    return f"{problem.strip()}\n\n{answer.strip()}\n"


def agreement(pairs: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """How often predicted chances agree with what the sandbox says, and on which side they err."""
    agreed = sum((chance >= PASSES) == passed for chance, passed in pairs)
    counts = {"critic_compared": float(len(pairs)), "critic_agreed": float(agreed)}
    if not pairs:
        return counts
    wrongly = sum(chance >= PASSES and not passed for chance, passed in pairs)
    return counts | {"critic_agreement_share": agreed / len(pairs), "critic_false_pass_share": wrongly / len(pairs)}
