"""GRPO: advantages within the samples of one problem, the clipped policy-gradient loss, and its gradient.

Source: DeepSeekMath, arXiv:2402.03300.  An entropy bonus stands where the paper has a KL term: this policy starts from
nothing, so there is no reference worth staying near.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from examples.quickstart.policy import forward

if TYPE_CHECKING:
    from examples.quickstart.policy import Choices, Floats, Parameters

CLIP = 0.2
ENTROPY_WEIGHT = 0.05
STD_FLOOR = 0.3
"""Added to a group's standard deviation, so that small differences of reward don't count like large ones."""
EPOCHS = 4
LEARNING_RATE = 0.01
BETA_1, BETA_2 = 0.9, 0.99


def advantages(rewards: Floats) -> Floats:
    """(groups, samples) -> the same shape: a reward less its group's mean, over the group's spread.

    NaN, a sample that is left out, counts in neither and has no advantage.
    """
    judged = np.ma.masked_invalid(rewards)
    centred = judged - judged.mean(axis=1, keepdims=True)
    return np.asarray((centred / (judged.std(axis=1, keepdims=True) + STD_FLOOR)).filled(0.0))


def loss_and_gradient(parameters: Parameters, choices: Choices, advantage: Floats) -> tuple[float, float, Parameters]:
    """(loss, mean entropy of a choice in nats, gradient of the loss); `advantage` is per choice.

    loss = mean of -min(r·A, clip(r, 1 ± CLIP)·A) - ENTROPY_WEIGHT·entropy; r = probability now over when sampled.
    """
    rows = np.arange(len(choices.chosen))
    hidden, log_probs = forward(parameters, choices.seen, choices.fits)
    probs = np.exp(log_probs)
    finite = np.where(choices.fits, log_probs, 0.0)
    entropy = -(probs * finite).sum(axis=1)
    ratio = np.exp(log_probs[rows, choices.chosen] - choices.log_prob)
    plain, clipped = ratio * advantage, np.clip(ratio, 1.0 - CLIP, 1.0 + CLIP) * advantage
    loss = -(np.minimum(plain, clipped) + ENTROPY_WEIGHT * entropy).mean()
    slope = np.where(plain <= clipped, plain, 0.0)
    by_logit = slope[:, None] * probs + ENTROPY_WEIGHT * probs * (finite + entropy[:, None])
    by_logit[rows, choices.chosen] -= slope
    by_logit /= len(rows)
    by_sum = (by_logit @ parameters["out"].T) * (1.0 - hidden**2)
    by_features = np.zeros_like(parameters["features"])
    np.add.at(by_features, choices.seen, by_sum[:, None, :])
    by_features[0] = 0.0
    gradient = {"features": by_features, "bias": by_sum.sum(axis=0), "out": hidden.T @ by_logit}
    return float(loss), float(entropy.mean()), gradient


@dataclass(slots=True)
class Adam:
    """Adam, arXiv:1412.6980; its moments are plain arrays by name, so that a checkpoint can hold them."""

    first: Parameters = field(default_factory=dict)
    second: Parameters = field(default_factory=dict)
    updates: int = 0

    def update(self, parameters: Parameters, gradient: Parameters) -> None:
        """Changes `parameters` in place."""
        self.updates += 1
        for name, slope in gradient.items():
            self.first[name] = BETA_1 * self.first.get(name, 0.0 * slope) + (1.0 - BETA_1) * slope
            self.second[name] = BETA_2 * self.second.get(name, 0.0 * slope) + (1.0 - BETA_2) * slope**2
            mean = self.first[name] / (1.0 - BETA_1**self.updates)
            spread = np.sqrt(self.second[name] / (1.0 - BETA_2**self.updates))
            parameters[name] -= LEARNING_RATE * mean / (spread + 1e-8)


def learn(parameters: Parameters, adam: Adam, choices: Choices, rewards: Floats) -> float:
    """EPOCHS updates on the samples of one step; `rewards` is (groups, samples).  Returns the entropy before them."""
    advantage = advantages(rewards).reshape(-1)[choices.sample]
    entropies = []
    for _ in range(EPOCHS):
        _, entropy, gradient = loss_and_gradient(parameters, choices, advantage)
        entropies.append(entropy)
        adam.update(parameters, gradient)
    return entropies[0]
