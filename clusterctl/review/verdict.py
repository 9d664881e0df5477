"""What a busy reviewer needs in one sentence: what rises or falls by how much, what is broken, what is unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from clusterctl.review.totals import SAME_USD, STILL, ResourceMoves, UsdChange, is_planned, resource_moves, runs_usd
from clusterctl.review.value import Review, SpecChange
from clusterctl.ui.formats import UNKNOWN, count, least_usd, signed_percent


def headline(review: Review, moves: ResourceMoves | None = None) -> str:
    """`This change raises the cost of 2 runs by $12,300 (+45%), to $39,600; it …`, without a full stop.

    moves: of the review's infrastructure, where they are worked out already.
    """
    parts = [*_runs(review.specs), *_infrastructure(review, moves)]
    if not parts and review.specs:
        return "The cost of this change is unknown: its runs can't be planned"
    return f"This change {'; it '.join(parts)}" if parts else "This change moves no cost"


def is_silent(review: Review) -> bool:
    """Whether there is nothing to say: no run and no resource changed, no rule is broken, all was looked at."""
    found = review.infrastructure
    moved = found is not None and any(change.op not in STILL for change in found.changes)
    return not (review.specs or moved or review.findings or review.notes)


def blocks(review: Review) -> bool:
    """Whether the change should not go in as it is."""
    return review.exit_code != 0


def status(review: Review) -> tuple[str, ...]:
    """What stands in the way, then what to look at, as sentences; empty where all is well."""
    unread = sum(bool(spec.problem) and not spec.is_infeasible for spec in review.specs)
    infeasible, broken = len(review.infeasible), review.broken
    advisory = sum(finding.level == "advisory" and finding.silence is None for finding in review.findings)
    out = []
    if unread:
        out.append(f"{count(unread, 'file')} can't be planned.")
    if infeasible:
        out.append(f"{count(infeasible, 'run')} {'is' if infeasible == 1 else 'are'} not feasible.")
    if broken:
        new = sum(finding.is_new for finding in broken)
        old = "" if new == len(broken) else f" ({new} by this change)"
        out.append(f"{count(len(broken), 'mandatory rule')} {'is' if len(broken) == 1 else 'are'} broken{old}.")
    if advisory:
        out.append(f"{count(advisory, 'advisory finding')}.")
    return (*out, *_unknown(review))


def _unknown(review: Review) -> list[str]:
    lines = sum(len(spec.after.unpriced) for spec in review.specs if spec.after is not None)
    resources = 0 if review.infrastructure is None else len(review.infrastructure.unknown)
    out = []
    if lines:
        out.append(f"{count(lines, 'bill line')} of the runs {'has' if lines == 1 else 'have'} no known price.")
    if resources:
        out.append(f"The cost of {count(resources, 'resource')} is not known, or only in part.")
    return out


def _runs(specs: Sequence[SpecChange]) -> list[str]:
    planned = [spec for spec in specs if is_planned(spec)]
    if not planned:
        return []
    total = runs_usd(planned)
    runs = "a run" if len(planned) == 1 else f"{len(planned)} runs"
    cost = "costs" if len(planned) == 1 else "cost"
    statuses = Counter[str](spec.status for spec in planned)
    if statuses["added"] == len(planned):
        return [f"adds {runs} that {cost} {_words(least_usd(total.after, at_least=total.after_at_least))}"]
    if statuses["removed"] == len(planned):
        return [f"removes {runs} that {cost} {_words(least_usd(total.before, at_least=total.before_at_least))}"]
    kinds = [f"{statuses[kind]} {word}" for kind, word in (("added", "new"), ("removed", "removed")) if statuses[kind]]
    which = f"{runs} ({', '.join(kinds)})" if kinds else runs
    return [_moved(total, f"the cost of {which}", "", of="run")]


def _infrastructure(review: Review, moves: ResourceMoves | None) -> list[str]:
    found = review.infrastructure
    if found is None or all(change.op in STILL for change in found.changes):
        return []
    total = (moves or resource_moves(found)).total
    if all(change.before is None for change in found.changes):
        amount = least_usd(total.after, at_least=total.after_at_least)
        return [f"adds infrastructure that costs {_words(amount)} a month"]
    if all(change.after is None for change in found.changes):
        amount = least_usd(total.before, at_least=total.before_at_least)
        return [f"removes infrastructure that costs {_words(amount)} a month"]
    return [_moved(total, "the cost of infrastructure", " a month", of="resource")]


def _moved(total: UsdChange, what: str, per: str, *, of: str) -> str:
    """`raises the cost of a run by $180 (+4.2%), to $4,400 (the change of 1 more run is unknown)`."""
    if total.known_usd is None:
        return f"changes {what} by an unknown amount"
    rest = f" (the change of {count(total.unknown, f'more {of}')} is unknown)" if total.unknown else ""
    if abs(total.known_usd) < SAME_USD and not total.change_at_least:
        return f"leaves {what} as it is{rest}"
    verb = "lowers" if total.known_usd < 0 else "raises"
    share = f" ({signed_percent(total.ratio)})" if total.ratio is not None else ""
    by = least_usd(abs(total.known_usd), at_least=total.change_at_least)
    to = least_usd(total.after, at_least=total.after_at_least)
    return f"{verb} {what} by {_words(by)}{share}, to {_words(to)}{per}{rest}"


def _words(amount: str) -> str:
    return "an unknown amount" if amount == UNKNOWN else amount
