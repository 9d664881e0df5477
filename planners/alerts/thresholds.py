"""From where on something is worth a warning: every threshold, each with its source."""

from __future__ import annotations

from typing import NamedTuple


class Threshold(NamedTuple):
    """A number and where it comes from."""

    value: float
    source: str


FAILED_HIDDEN = Threshold(
    0.289, "EvalPlus (arXiv:2305.01210): 80 times the tests cost models that were not trained on them at most 28.9%"
)
"""Share of the samples that pass the visible tests and fail the hidden ones."""
HIDDEN_FALLS = Threshold(
    0.05, "our convention: proxy up while the true reward falls is over-optimisation (Gao et al., arXiv:2210.10760)"
)
"""Loss of pass@1 on hidden tests since its best, while the visible tests have lost nothing."""
VISIBLE_PASSES = Threshold(0.1, "our convention: below, a share of the passing samples is a share of very few")
"""pass@1 on visible tests from which on the share that fails the hidden ones is looked at."""
ENTROPY_LEFT = Threshold(
    0.1, "our convention: reward saturates as entropy is used up, R = b - a exp(H) (Cui et al., arXiv:2505.22617)"
)
"""Entropy over that of the first steps."""
ENTROPY_RISES = Threshold(2.0, "our convention: twice its lowest, while the reward falls")
"""Entropy over its lowest."""
LENGTH_DRIFT = Threshold(
    1.5, "our convention: lengths that grow without reward are a bias of the loss (Dr. GRPO, arXiv:2503.20783)"
)
"""Response tokens over those of the first steps, or the other way round, without a gain in reward."""
NEAR_DUPLICATES = Threshold(
    0.1363, "Lee et al. (arXiv:2107.06499): 13.63% in RealNews, the most of four corpora that they measured"
)
"""Share of texts with a near-duplicate among those for other problems: 5-gram Jaccard of 0.8 or more, as there."""
DUPLICATES_RISE = Threshold(0.1, "our convention: a young policy repeats itself too; a collapse is a change")
"""Rise of that share over that of the first texts."""
DUPLICATES_BAD = Threshold(0.5, "our convention: every other text is a copy")
DISTINCT_LEFT = Threshold(0.5, "our convention: half the distinct 3-grams (Li et al., arXiv:1510.03055) are gone")
"""Distinct n-grams over those of the first texts."""
SANDBOX_SHARE = Threshold(
    0.05, "our convention: one run in twenty is a tenth of a step's signal at a pass rate of a half"
)
"""Rise of the share of sandbox runs that time out or err."""
SANDBOX_SLOWS = Threshold(1.5, "our convention: above the drift of 10-30% that plans allow for")
"""Seconds of the sandbox phase over those of the first steps."""
SURE = Threshold(4.0, "1 in 30,000 by chance for one look at normal noise; a run is looked at at every step")
"""Standard errors by which a mean must lie beyond its threshold."""
