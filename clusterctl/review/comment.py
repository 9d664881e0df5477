"""A review as a comment for a pull request: verdict first, details folded, never too long.

The order is what a reviewer asks: how much, by the run and by the month; why; which rules; then the details.  What is
too long is cut from the end of the details, last from the tables, never from the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from clusterctl.review import run_blocks
from clusterctl.review.finding_blocks import findings_block
from clusterctl.review.post.marker import marker_of
from clusterctl.review.resource_blocks import resource_details, resources_block
from clusterctl.review.run_blocks import Fold
from clusterctl.review.totals import ResourceMoves, resource_moves
from clusterctl.review.value import Review
from clusterctl.review.verdict import blocks, headline, is_silent, status
from clusterctl.ui.formats import count
from clusterctl.ui.markdown_text import code, escape, folded, html_code

MOST_CHARACTERS = 60_000
"""GitHub refuses comments over 65,536; the rest is room for whoever posts it."""
BODY_ROWS = (40, 20, 8, 3)
"""Rows of each table and list of the body; fewer where it would be too long."""
DETAIL_ROWS = (200, 60, 20)
WHOLE = "`clusterctl review --json`"
"""Where nothing is left out."""


def markdown(review: Review, *, limit: int = MOST_CHARACTERS, html: bool = True) -> str:
    """The comment, at most `limit` characters.  Without `html`, for Bitbucket, details stand open below headings."""
    if is_silent(review):
        return f"{_marker(review, html=html)}\n\n✅ No run spec and no infrastructure of this change moves a cost.\n"
    moves = None if review.infrastructure is None else resource_moves(review.infrastructure)
    head = [_marker(review, html=html), _verdict(review, moves)]
    foot = _footer(review, html=html)
    body = list(_body(review, moves, BODY_ROWS[0]))
    for rows in DETAIL_ROWS:
        details = list(_details(review, moves, rows))
        text = _joined([*head, *body, *_folds(details, html=html), foot])
        if len(text) <= limit:
            return text
    kept = details
    for rows in BODY_ROWS:
        body = list(_body(review, moves, rows))
        while True:
            note = _left_out(details[len(kept) :], shorter=rows != BODY_ROWS[0])
            text = _joined([*head, *body, *_folds(kept, html=html), note, foot])
            if len(text) <= limit:
                return text
            if not kept:
                break
            kept = kept[:-1]
    return _joined([*head, _left_out(details, shorter=True)])


def _left_out(details: list[Fold], *, shorter: bool) -> str:
    """What isn't there, and where it is."""
    names = list(dict.fromkeys(fold.name.lower() + (" single files" if fold.subject else "") for fold in details))
    names += ["most rows of the tables"] if shorter else []
    return f"_Left out for length: {', '.join(names)}. {WHOLE} has all of it._"


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _marker(review: Review, *, html: bool) -> str:
    return marker_of(review).line("html" if html else "link")


def _verdict(review: Review, moves: ResourceMoves | None) -> str:
    mark = "❌" if blocks(review) else "⚠️" if status(review) else "✅"
    sentences = status(review) or ("No rule is broken.",)
    return f"### {mark} {escape(headline(review, moves), 600)}\n\n**{escape(' '.join(sentences), 600)}**"


def _body(review: Review, moves: ResourceMoves | None, rows: int) -> Iterator[str]:
    if review.specs:
        yield run_blocks.runs_table(review.specs, rows)
        yield run_blocks.notes(review.specs, rows)
    if review.infrastructure is not None and moves is not None and review.infrastructure.changes:
        stacks = ", ".join(code(stack) for stack in review.infrastructure.stacks[:rows])
        yield f"#### Infrastructure, dollars a month{f': {stacks}' if stacks else ''}"
        yield resources_block(review.infrastructure, moves, rows)
    why = run_blocks.drivers(review.specs, rows)
    if why:
        yield f"#### Why it changed\n\nEach input changed alone, on the baseline:\n\n{why}"
    if review.findings:
        yield f"#### Rules\n\n{findings_block(review.findings, rows)}"
    if review.notes:
        listed = "\n".join(f"- {escape(note, 400)}" for note in review.notes[:rows])
        yield f"#### What this review doesn't cover\n\n{listed}"


def _details(review: Review, moves: ResourceMoves | None, rows: int) -> Iterator[Fold]:
    yield from run_blocks.run_details(review.specs, rows)
    if moves is not None:
        yield from resource_details(moves, rows)


def _folds(details: Iterable[Fold], *, html: bool) -> Iterator[str]:
    for name, subject, body in details:
        if html:
            yield folded(f"{name} {html_code(subject)}" if subject else name, body)
        else:
            yield f"##### {name}{f' {code(subject)}' if subject else ''}\n\n{body}"


def _footer(review: Review, *, html: bool) -> str:
    parts = [f"Prices{age}" if (age := price_age(review)) else ""]
    parts += ["P10–P90 is an 80% band"] if review.specs else []
    parts += ["a month has 730 hours"] if review.infrastructure is not None else []
    ends = [f"{name} {code(commit[:12])}" for name, commit in (("head", review.head), ("base", review.base)) if commit]
    parts += [", ".join(ends), f"{review.valid_at:%Y-%m-%d %H:%M} UTC"]
    parts.append(f"every row: {WHOLE}")
    text = " · ".join(filter(None, parts))
    return f"<sub>{text}</sub>" if html else f"_{text}_"


def price_age(review: Review) -> str:
    """` of 2026-06-01 to 2026-11-01, up to 182 days old (book 2026-11-01)`; empty where no price was used."""
    dates = [day for pair in (review.price_dates, _infrastructure_dates(review)) if pair for day in pair]
    book = f" ({escape(review.book)})" if review.book else ""
    if not dates:
        return book and f" of unknown age{book}"
    oldest, newest = min(dates), max(dates)
    days = count((review.valid_at.date() - oldest).days, "day")
    if oldest == newest:
        return f" of {oldest}, {days} old{book}"
    return f" of {oldest} to {newest}, up to {days} old{book}"


def _infrastructure_dates(review: Review) -> tuple[date, date] | None:
    return None if review.infrastructure is None else review.infrastructure.price_dates
