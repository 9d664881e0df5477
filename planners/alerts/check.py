"""From steps and samples of a run to warnings.  Pure; thresholds and their sources: `thresholds`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from planners.alerts import thresholds as t
from planners.alerts.measures import BLOCK, Series, distinct_ngram_share, near_duplicate_share, since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from planners.alerts.measures import Sample

Kind = Literal["reward hacking", "collapse", "entropy", "length", "sandbox"]
LENGTHS = ("response_tokens_mean", "response_tokens")
SANDBOX_SHARES = ("time_limit_share", "sandbox_timeout_share", "sandbox_error_share")
MOST_BLOCKS = 40
NEARLY_DONE = 0.9
"""Share of the steps after which used-up entropy no longer wastes much."""


class Report(NamedTuple):
    """What a job said when a step was done."""

    stage: str
    step: int
    of: int
    metrics: Mapping[str, float | None]
    phases: Mapping[str, float]
    """Seconds by phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One warning."""

    kind: Kind
    level: Literal["bad", "warn"]
    """bad: the rest of the run is likely wasted."""
    stage: str
    since_step: int
    numbers: Mapping[str, float]
    sentence: str
    advice: str
    source: str
    """Of the threshold."""


def alerts(reports: Sequence[Report], samples: Sequence[Sample] = ()) -> tuple[Alert, ...]:
    """Warnings of a run, the worst first.  Samples count for the stage that reported last."""
    stages = list(dict.fromkeys(report.stage for report in reports))
    found: list[Alert] = []
    for stage in stages:
        seen = _Seen(stage, [r for r in reports if r.stage == stage], samples if stage == stages[-1] else ())
        for rule in (_hacking, _collapse, _entropy, _length, _sandbox):
            found += rule(seen)
    return tuple(sorted(found, key=lambda alert: alert.level))


class _Seen:
    """One stage of a run, as series."""

    def __init__(self, stage: str, reports: Sequence[Report], samples: Sequence[Sample]) -> None:
        self.stage, self.reports, self.samples = stage, sorted(reports, key=lambda r: r.step), samples

    def metrics(self, *names: str) -> list[Series] | None:
        """Series of metrics over the steps that report all of them; None where too few do."""
        rows = [(r.step, *(r.metrics.get(name) for name in names)) for r in self.reports]
        return _aligned([row for row in rows if None not in row])

    def phase(self, name: str) -> list[Series] | None:
        """Seconds of a phase."""
        return _aligned([(r.step, r.phases[name]) for r in self.reports if name in r.phases])

    def blocks(self, measure: Callable[[Sequence[Sample]], float]) -> Series | None:
        """A measure of BLOCK samples at a time, at most MOST_BLOCKS of them, spread over the run."""
        whole = [self.samples[i : i + BLOCK] for i in range(0, len(self.samples) - BLOCK + 1, BLOCK)]
        picked = {round(i) for i in np.linspace(0, len(whole) - 1, MOST_BLOCKS).tolist()} if whole else set()
        found = _aligned([(whole[i][-1].step, measure(whole[i])) for i in sorted(picked)], least=2)
        return found[0] if found else None


def _aligned(rows: Sequence[tuple[float | None, ...]], *, least: int = 5) -> list[Series] | None:
    table = np.array(rows, dtype=float)
    if len(table) >= 3 * least:
        table = table[np.isfinite(table).all(axis=1)]
    if len(table) < 3 * least:
        return None
    return [Series(step=table[:, 0].astype(np.int64), value=column, least=least) for column in table[:, 1:].T]


def _hacking(seen: _Seen) -> Iterator[Alert]:
    found = seen.metrics("pass_at_1_visible", "pass_at_1_hidden")
    if found is None:
        return
    visible, hidden = found
    over = Series(step=visible.step, value=(1.0 - t.FAILED_HIDDEN.value) * visible.value - hidden.value)

    def hacked(part: Series) -> bool:
        return part.last.above(0.0) and visible.until(len(part)).last.mean >= t.VISIBLE_PASSES.value

    def falls(part: Series) -> bool:
        seen_hidden, seen_visible = hidden.until(len(part)), visible.until(len(part))
        best = seen_hidden.best()
        kept = not seen_visible.window(best).above_by(seen_visible.last, 0.0)
        return kept and seen_hidden.window(best).above_by(seen_hidden.last, t.HIDDEN_FALLS.value)

    begun, fallen = since(over, hacked), since(hidden, falls)
    if begun is None and fallen is None:
        return
    passes, keeps = visible.last.mean, hidden.last.mean
    share = 1.0 - keeps / max(passes, 1e-9)
    best = hidden.window(hidden.best()).mean
    lost = f", and pass@1 on hidden tests has fallen from {best:.2f} to {keeps:.2f}" if fallen is not None else ""
    yield Alert(
        kind="reward hacking",
        level="bad" if fallen is not None else "warn",
        stage=seen.stage,
        since_step=min(step for step in (begun, fallen) if step is not None),
        numbers={
            "pass_at_1_visible": passes,
            "pass_at_1_hidden": keeps,
            "failed_hidden_share": share,
            "first_gap": visible.first.mean - hidden.first.mean,
        },
        sentence=f"{share:.0%} of what passes the visible tests fails the hidden ones{lost}",
        advice="read samples that pass only the visible tests; put more tests into the reward, or stop the run",
        source=(t.HIDDEN_FALLS if begun is None else t.FAILED_HIDDEN).source,
    )


def _collapse(seen: _Seen) -> Iterator[Alert]:
    reported = seen.metrics("near_duplicate_share"), seen.metrics("distinct_ngram_share")
    alike = reported[0][0] if reported[0] else seen.blocks(near_duplicate_share)
    grams = reported[1][0] if reported[1] else seen.blocks(lambda block: distinct_ngram_share([s.text for s in block]))
    advice = "look at the newest samples; raise temperature or entropy bonus, widen the prompts, or stop the run"
    if alike is not None:
        least = t.NEAR_DUPLICATES.value
        begun = since(alike, lambda s: s.last.above(least) and s.last.above_by(s.first, t.DUPLICATES_RISE.value))
        if begun is not None:
            share = alike.last.mean
            yield Alert(
                kind="collapse",
                level="bad" if share >= t.DUPLICATES_BAD.value else "warn",
                stage=seen.stage,
                since_step=begun,
                advice=advice,
                source=t.NEAR_DUPLICATES.source,
                numbers={"near_duplicate_share": share, "first": alike.first.mean},
                sentence=f"{share:.0%} of the texts are near-duplicates of others (at first {alike.first.mean:.0%})",
            )
    if grams is not None:
        logs = _log(grams)
        begun = since(logs, lambda part: part.first.above_by(part.last, -float(np.log(t.DISTINCT_LEFT.value))))
        if begun is not None:
            yield Alert(
                kind="collapse",
                level="bad",
                stage=seen.stage,
                since_step=begun,
                advice=advice,
                source=t.DISTINCT_LEFT.source,
                numbers={"distinct_ngram_share": grams.last.mean, "first": grams.first.mean},
                sentence=f"distinct n-grams have fallen from {grams.first.mean:.0%} to {grams.last.mean:.0%}",
            )


def _entropy(seen: _Seen) -> Iterator[Alert]:
    found = seen.metrics("entropy_nats")
    if found is None or (found[0].value <= 0).any():
        return
    entropy = found[0]
    logs = _log(entropy)
    begun = since(logs, lambda part: part.first.above_by(part.last, -float(np.log(t.ENTROPY_LEFT.value))))
    last = seen.reports[-1]
    if begun is not None and last.step < NEARLY_DONE * last.of:
        yield Alert(
            kind="entropy",
            level="warn",
            stage=seen.stage,
            since_step=begun,
            numbers={"entropy_nats": entropy.last.mean, "first": entropy.first.mean},
            sentence=f"entropy has fallen from {entropy.first.mean:.2f} to {entropy.last.mean:.3f} nats with "
            f"{last.of - last.step} steps to go: little is left to learn from",
            advice="raise the entropy bonus or the upper clip, or stop: the reward has nearly saturated",
            source=t.ENTROPY_LEFT.source,
        )
    both = seen.metrics("entropy_nats", "reward")
    if both is None:
        return
    logs, reward = _log(both[0]), both[1]

    def rises(part: Series) -> bool:
        low, paid = part.best(lowest=True), reward.until(len(part))
        up = part.last.above_by(part.window(low), float(np.log(t.ENTROPY_RISES.value)))
        return up and paid.window(paid.best()).above_by(paid.last, 0.0)

    begun = since(logs, rises)
    if begun is not None:
        lowest = float(np.exp(logs.window(logs.best(lowest=True)).mean))
        yield Alert(
            kind="entropy",
            level="bad",
            stage=seen.stage,
            since_step=begun,
            numbers={"entropy_nats": both[0].last.mean, "lowest": lowest},
            sentence=f"entropy rises from {lowest:.2f} to {both[0].last.mean:.2f} nats while the reward falls",
            advice="lower the learning rate, or go back to the checkpoint before; look for text without meaning",
            source=t.ENTROPY_RISES.source,
        )


def _length(seen: _Seen) -> Iterator[Alert]:
    for name in LENGTHS:
        found = seen.metrics(name, "reward")
        if found is None or (found[0].value <= 0).any():
            continue
        tokens, reward = found
        least = float(np.log(t.LENGTH_DRIFT.value))

        def drifts(part: Series, reward: Series = reward, least: float = least) -> bool:
            paid = reward.until(len(part))
            moved = part.last.above_by(part.first, least) or part.first.above_by(part.last, least)
            return moved and not paid.last.above_by(paid.first, 0.0)

        begun = since(_log(tokens), drifts)
        if begun is not None:
            yield Alert(
                kind="length",
                level="warn",
                stage=seen.stage,
                since_step=begun,
                numbers={name: tokens.last.mean, "first": tokens.first.mean},
                sentence=f"responses have gone from {tokens.first.mean:,.0f} to {tokens.last.mean:,.0f} tokens "
                "without a gain in reward",
                advice="check the loss's normalisation by length and the share cut off at the longest response",
                source=t.LENGTH_DRIFT.source,
            )
        return


def _sandbox(seen: _Seen) -> Iterator[Alert]:
    advice = "look at the sandbox's load and log (`clusterctl logs RUN --role sandbox`); add slots or raise the limit"
    for name in SANDBOX_SHARES:
        found = seen.metrics(name)
        if found is None:
            continue
        share = found[0]
        begun = since(share, lambda part: part.last.above_by(part.first, t.SANDBOX_SHARE.value))
        if begun is not None:
            words = "time out" if "time" in name else "err"
            yield Alert(
                kind="sandbox",
                level="warn",
                stage=seen.stage,
                since_step=begun,
                numbers={name: share.last.mean, "first": share.first.mean},
                advice=advice,
                sentence=f"{share.last.mean:.0%} of the sandbox's runs {words}, at first {share.first.mean:.0%}",
                source=t.SANDBOX_SHARE.source,
            )
    seconds = seen.phase("sandbox")
    if seconds is None or (seconds[0].value <= 0).any():
        return
    begun = since(_log(seconds[0]), lambda part: part.last.above_by(part.first, float(np.log(t.SANDBOX_SLOWS.value))))
    if begun is not None:
        now, first = seconds[0].last.mean, seconds[0].first.mean
        yield Alert(
            kind="sandbox",
            level="warn",
            stage=seen.stage,
            since_step=begun,
            numbers={"sandbox_seconds": now, "first": first},
            advice=advice,
            sentence=f"the sandboxes take {now:,.3g} s a step, at first {first:,.3g} s",
            source=t.SANDBOX_SLOWS.source,
        )


def _log(series: Series) -> Series:
    return Series(step=series.step, value=np.log(np.maximum(series.value, 1e-12)), least=series.least)
