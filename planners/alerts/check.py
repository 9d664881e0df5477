"""From steps and samples of a run to warnings of its training.  Pure; thresholds and their sources: `thresholds`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from planners.alerts import thresholds as t
from planners.alerts.measures import Sample, Series, aligned, blocks, distinct_ngram_share, near_duplicate_share, since

Kind = Literal["reward hacking", "collapse", "entropy", "length", "sandbox"]
LENGTHS = ("response_tokens_mean", "response_tokens")
SANDBOX_SHARES = ("time_limit_share", "sandbox_timeout_share", "sandbox_error_share")
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
        seen = _Seen([r for r in reports if r.stage == stage], samples if stage == stages[-1] else ())
        found += [
            Alert(
                kind=rule.kind,
                level="bad" if rule.bad or finding.bad else "warn",
                stage=stage,
                since_step=finding.since_step,
                numbers=finding.numbers,
                sentence=finding.sentence,
                advice=rule.advice,
                source=finding.source or rule.threshold.source,
            )
            for rule in RULES
            if (finding := rule.look(seen)) is not None
        ]
    return tuple(sorted(found, key=lambda alert: alert.level))


class _Seen:
    """One stage of a run, as series."""

    def __init__(self, reports: Sequence[Report], samples: Sequence[Sample]) -> None:
        timed = [r._replace(metrics={**r.metrics, "sandbox_seconds": r.phases.get("sandbox")}) for r in reports]
        self.reports, self.samples = sorted(timed, key=lambda r: r.step), samples

    def metrics(self, *names: str) -> list[Series]:
        """Series of metrics over the steps that report all of them; none where too few do."""
        rows = [(r.step, *(r.metrics.get(name) for name in names)) for r in self.reports]
        return aligned([row for row in rows if None not in row])

    def positive(self, *names: str) -> list[Series]:
        """The same; none also where a value of the first is not above 0, so that its logarithm means nothing."""
        found = self.metrics(*names)
        return found if found and (found[0].value > 0).all() else []


class _Finding(NamedTuple):
    """What a rule sees, and since when."""

    since_step: int
    numbers: dict[str, float]
    sentence: str
    bad: bool = False
    source: str = ""
    """Where it is not that of the rule's threshold."""


class _Rule(NamedTuple):
    """A question to every stage of a run."""

    kind: Kind
    threshold: t.Threshold
    look: Callable[[_Seen], _Finding | None]
    advice: str
    bad: bool = False


def _hacking(seen: _Seen) -> _Finding | None:
    found = seen.metrics("pass_at_1_visible", "pass_at_1_hidden")
    if not found:
        return None
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
    steps = [step for step in (begun, fallen) if step is not None]
    if not steps:
        return None
    passes, keeps = visible.last.mean, hidden.last.mean
    share = 1.0 - keeps / max(passes, 1e-9)
    best = hidden.window(hidden.best()).mean
    lost = f", and pass@1 on hidden tests has fallen from {best:.2f} to {keeps:.2f}" if fallen is not None else ""
    return _Finding(
        since_step=min(steps),
        numbers={
            "pass_at_1_visible": passes,
            "pass_at_1_hidden": keeps,
            "failed_hidden_share": share,
            "first_gap": visible.first.mean - hidden.first.mean,
        },
        sentence=f"{share:.0%} of what passes the visible tests fails the hidden ones{lost}",
        bad=fallen is not None,
        source=t.HIDDEN_FALLS.source if begun is None else "",
    )


def _drift(found: list[Series], holds: Callable[[Series], bool], name: str, sentence: str) -> _Finding | None:
    """Since when the first series has left its first values behind; `sentence` names their means, `first`, `last`."""
    begun = since(found[0], holds) if found else None
    if begun is None:
        return None
    first, last = found[0].first.mean, found[0].last.mean
    return _Finding(begun, {name: last, "first": first}, sentence.format(first=first, last=last))


def _falls(left: t.Threshold, part: Series) -> bool:
    """Whether surely less than the share `left` of the first values is left."""
    return part.log.first.above_by(part.log.last, -math.log(left.value))


def _duplicates(seen: _Seen) -> _Finding | None:
    name, words = "near_duplicate_share", "{last:.0%} of the texts are near-duplicates of others (at first {first:.0%})"
    least, rise = t.NEAR_DUPLICATES.value, t.DUPLICATES_RISE.value
    alike = seen.metrics(name) or blocks(seen.samples, near_duplicate_share)
    found = _drift(alike, lambda part: part.last.above(least) and part.last.above_by(part.first, rise), name, words)
    return found and found._replace(bad=found.numbers[name] >= t.DUPLICATES_BAD.value)


def _ngrams(seen: _Seen) -> _Finding | None:
    name, words = "distinct_ngram_share", "distinct n-grams have fallen from {first:.0%} to {last:.0%}"
    grams = seen.metrics(name) or blocks(seen.samples, lambda block: distinct_ngram_share([s.text for s in block]))
    return _drift(grams, partial(_falls, t.DISTINCT_LEFT), name, words)


def _entropy_used_up(seen: _Seen) -> _Finding | None:
    entropy, report = seen.positive("entropy_nats"), seen.reports[-1]
    if report.step >= NEARLY_DONE * report.of:
        return None
    words = "entropy has fallen from {first:.2f} to {last:.3f} nats with "
    words += f"{report.of - report.step} steps to go: little is left to learn from"
    return _drift(entropy, partial(_falls, t.ENTROPY_LEFT), "entropy_nats", words)


def _entropy_rises(seen: _Seen) -> _Finding | None:
    found = seen.positive("entropy_nats", "reward")
    if not found:
        return None
    entropy, reward = found[0].log, found[1]

    def rises(part: Series) -> bool:
        paid = reward.until(len(part))
        up = part.last.above_by(part.window(part.best(lowest=True)), math.log(t.ENTROPY_RISES.value))
        return up and paid.window(paid.best()).above_by(paid.last, 0.0)

    begun = since(entropy, rises)
    if begun is None:
        return None
    lowest, last = math.exp(entropy.window(entropy.best(lowest=True)).mean), found[0].last.mean
    sentence = f"entropy rises from {lowest:.2f} to {last:.2f} nats while the reward falls"
    return _Finding(begun, {"entropy_nats": last, "lowest": lowest}, sentence)


def _length(seen: _Seen) -> _Finding | None:
    name = next((name for name in LENGTHS if seen.positive(name, "reward")), LENGTHS[0])
    found = seen.positive(name, "reward")
    least = math.log(t.LENGTH_DRIFT.value)

    def drifts(part: Series) -> bool:
        paid, logs = found[1].until(len(part)), part.log
        moved = logs.last.above_by(logs.first, least) or logs.first.above_by(logs.last, least)
        return moved and not paid.last.above_by(paid.first, 0.0)

    words = "responses have gone from {first:,.0f} to {last:,.0f} tokens without a gain in reward"
    return _drift(found, drifts, name, words)


def _sandbox_share(name: str, seen: _Seen) -> _Finding | None:
    words = f"{{last:.0%}} of the sandbox's runs {'time out' if 'time' in name else 'err'}, at first {{first:.0%}}"
    return _drift(seen.metrics(name), lambda part: part.last.above_by(part.first, t.SANDBOX_SHARE.value), name, words)


def _sandbox_seconds(seen: _Seen) -> _Finding | None:
    name, words = "sandbox_seconds", "the sandboxes take {last:,.3g} s a step, at first {first:,.3g} s"
    slower = math.log(t.SANDBOX_SLOWS.value)
    return _drift(seen.positive(name), lambda part: part.log.last.above_by(part.log.first, slower), name, words)


READ = "read samples that pass only the visible tests; put more tests into the reward, or stop the run"
LOOK = "look at the newest samples; raise temperature or entropy bonus, widen the prompts, or stop the run"
RAISE = "raise the entropy bonus or the upper clip, or stop: the reward has nearly saturated"
GO_BACK = "lower the learning rate, or go back to the checkpoint before; look for text without meaning"
NORMALISE = "check the loss's normalisation by length and the share cut off at the longest response"
UNLOAD = "look at the sandbox's load and log (`clusterctl logs RUN --role sandbox`); add slots or raise the limit"

RULES = (
    _Rule("reward hacking", t.FAILED_HIDDEN, _hacking, READ),
    _Rule("collapse", t.NEAR_DUPLICATES, _duplicates, LOOK),
    _Rule("collapse", t.DISTINCT_LEFT, _ngrams, LOOK, bad=True),
    _Rule("entropy", t.ENTROPY_LEFT, _entropy_used_up, RAISE),
    _Rule("entropy", t.ENTROPY_RISES, _entropy_rises, GO_BACK, bad=True),
    _Rule("length", t.LENGTH_DRIFT, _length, NORMALISE),
    *(_Rule("sandbox", t.SANDBOX_SHARE, partial(_sandbox_share, name), UNLOAD) for name in SANDBOX_SHARES),
    _Rule("sandbox", t.SANDBOX_SLOWS, _sandbox_seconds, UNLOAD),
)
"""Kind of the warning, its threshold, how it is found, and what to do about it."""
