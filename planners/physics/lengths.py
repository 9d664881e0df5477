"""Response lengths: a log-normal clipped at the longest allowed response.

A synchronous step waits for its longest sample, so a length is a distribution.  Symbols: M longest response
(tokens), m mean after clipping, s log standard deviation, u = mu - ln M.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from planners.physics.columns import Array, Column, by_code
from planners.physics.constants import Constants

P95_QUANTILE = 1.6448536269514722
_LOGIT_STEP, _LOGIT_LOWEST, _LOGIT_POINTS = 0.1, -7.0, 141
_SD_STEP, _SD_LOWEST, _SD_POINTS = 0.05, 0.05, 40


def normal_cdf(x: Column) -> Array:
    """Standard normal distribution function.  Abramowitz and Stegun 7.1.26; error below 1e-7."""
    z = np.abs(np.asarray(x, dtype=np.float64)) * 0.7071067811865476
    t = 1 / (1 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    upper = 0.5 * series * np.exp(-z * z)
    return np.where(np.asarray(x) > 0, 1 - upper, upper)


def normal_quantile(p: Column) -> Array:
    """Inverse of `normal_cdf` for p >= 0.5.  Abramowitz and Stegun 26.2.23; error below 5e-4."""
    t = np.sqrt(-2 * np.log(np.clip(1 - np.asarray(p, dtype=np.float64), 1e-12, 0.5)))
    top = 2.515517 + t * (0.802853 + t * 0.010328)
    return np.asarray(t - top / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))))


def natural_tokens(c: Constants, natural_class: Column) -> Column:
    """Mean response of a kind of model that no cap cuts."""
    by_class = (c.length_base_tokens, c.length_instruct_tokens, c.length_reasoner_tokens, c.length_agent_tokens)
    return by_code(natural_class, by_class)


def usual_response_tokens(natural: Column, longest: Column, log_sd: Column) -> Array:
    """Mean response where nobody states one: E[min(X, M)] of a log-normal X with the mean `natural`, M the longest.

    Error: a factor of two or three either way; a measured length is the best input that a user can give.
    """
    u = np.log(natural / np.asarray(longest)) - np.asarray(log_sd) ** 2 / 2
    return np.asarray(longest * clipped_mean(u, log_sd))


def log_sd_from_p95(mean_tokens: float, p95_tokens: float) -> float:
    """Log standard deviation of a log-normal with this mean and 95th percentile; 0.1 at the least.

    Solves p95 = mean * exp(1.645 s - s^2/2).  A p95 over 3.87 x mean has no log-normal: s is then 1.645.  Clipping
    is left out, which overstates s by a few percent when more than 5 % of the samples are clipped.
    """
    gap = np.log(max(p95_tokens / mean_tokens, 1.0))
    inside = max(P95_QUANTILE**2 - 2 * gap, 0.0)
    return float(max(P95_QUANTILE - np.sqrt(inside), 0.1))


def clipped_mean(u: Column, log_sd: Column) -> Array:
    """E[min(X, 1)] with ln X normal (u, log_sd)."""
    s = np.asarray(log_sd, dtype=np.float64)
    below = np.exp(u + s * s / 2) * normal_cdf((-u - s * s) / s)
    return below + 1 - normal_cdf(-np.asarray(u) / s)


@cache
def _location_table() -> Array:
    """u of E[min(X, 1)] = r on a grid of log_sd (rows) x logit(r) (columns)."""
    logits = _LOGIT_LOWEST + _LOGIT_STEP * np.arange(_LOGIT_POINTS)
    ratios = 1 / (1 + np.exp(-logits))
    u = np.linspace(-14.0, 14.0, 561)
    rows = []
    for s in _SD_LOWEST + _SD_STEP * np.arange(_SD_POINTS):
        means = np.maximum.accumulate(clipped_mean(u, float(s)))
        rows.append(np.interp(ratios, means, u))
    return np.array(rows)


def location(ratio: Column, log_sd: Column) -> Array:
    """u = mu - ln M of the clipped log-normal whose mean is `ratio` of M.  From a table; error below 0.01."""
    table = _location_table()
    r = np.clip(ratio, 1e-3, 0.995)
    x = (np.log(r / (1 - r)) - _LOGIT_LOWEST) / _LOGIT_STEP
    y = (np.clip(log_sd, _SD_LOWEST, _SD_LOWEST + _SD_STEP * (_SD_POINTS - 1)) - _SD_LOWEST) / _SD_STEP
    i, j = np.minimum(np.floor(y).astype(int), _SD_POINTS - 2), np.floor(x).astype(int)
    fy, fx = y - i, x - j
    low = table[i, j] * (1 - fx) + table[i, j + 1] * fx
    high = table[i + 1, j] * (1 - fx) + table[i + 1, j + 1] * fx
    return np.asarray(low * (1 - fy) + high * fy)


def survival(x: Column, u: Column, log_sd: Column) -> Array:
    """Share of samples longer than x * M, for 0 < x <= 1."""
    return 1 - normal_cdf((np.log(x) - u) / log_sd)


def longest_of(samples: Column, u: Column, log_sd: Column) -> Array:
    """Typical longest of `samples` responses, as a share of M (the median of the maximum)."""
    quantile = normal_quantile(np.clip(1 - 0.56 / np.maximum(samples, 1.12), 0.5, 1 - 1e-9))
    return np.minimum(1.0, np.exp(u + log_sd * quantile))


def attended(context: Column, window: Column, share: Column) -> Column:
    """Tokens of a context that a layer sees in the mean, where `share` of the layers see the last `window` only."""
    if not np.any(share):
        return context
    return context - share * np.maximum(context - window, 0.0)


def attended_causally(sequence: Column, window: Column, share: Column) -> Column:
    """The length of an unwindowed sequence with the same causal attention work: s - share x (s - window)^2 / s."""
    return sequence - share * np.maximum(sequence - window, 0.0) ** 2 / sequence
