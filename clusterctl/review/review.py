"""Makes a review: what changed in git and in previews, planned and priced at both ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from clusterctl.errors import ClusterctlError
from clusterctl.review.value import InfrastructureChange, Review, SpecChange


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRequest:
    """What a review is asked for."""

    now: datetime
    """When it is made, UTC."""
    folder: Path
    """Somewhere in the checkout; names in `paths` count from it."""
    id: str = "review"
    base: str | None = None
    """A revision; None = previews alone."""
    head: str | None = None
    """A revision; None = the working tree."""
    paths: tuple[str, ...] = ()
    """Files and folders of the checkout; none = all of it."""
    previews: tuple[Path, ...] = ()
    previews_base: tuple[Path, ...] = ()
    with_price_drift: bool = False
    book: Path | None = None
    """Folder of a price book; None = the one in use."""


def make_review(request: ReviewRequest) -> Review:
    """The review without the findings of rules.  Raises ClusterctlError for what keeps it from being made."""
    if request.base is None and not request.previews:
        raise ClusterctlError(
            "there is nothing to compare", hint="give `--base REV` in a git checkout, or `--preview FILE`"
        )
    if request.previews_base and not request.previews:
        raise ClusterctlError("--preview-base is compared with a preview of the head", hint="give that by --preview")
    if request.base is None and (request.paths or request.head or request.with_price_drift):
        raise ClusterctlError("PATHS, --head and --price-drift are about a git checkout", hint="give `--base REV` too")
    base = head = ""
    specs: tuple[SpecChange, ...] = ()
    notes: tuple[str, ...] = ()
    if request.base is not None:
        base, head, specs, notes = _from_git(request, request.base)
    infrastructure = _from_previews(request)
    return Review(
        id=request.id,
        base=base,
        head=head,
        valid_at=request.now,
        specs=specs,
        infrastructure=infrastructure,
        notes=notes,
        price_dates=_price_dates(specs, infrastructure),
        book=next((plan.prices.book for spec in specs if (plan := spec.after or spec.before)), ""),
    )


def _from_git(request: ReviewRequest, base: str) -> tuple[str, str, tuple[SpecChange, ...], tuple[str, ...]]:
    from clusterctl.review.changed import changed_specs
    from clusterctl.review.checkout import open_checkout, paths_inside

    with open_checkout(request.folder, base, request.head) as checkout:
        within = paths_inside(checkout.root, request.folder, request.paths)
        changed, unread = changed_specs(checkout, within)
        specs: tuple[SpecChange, ...] = ()
        said: tuple[str, ...] = ()
        if changed:
            from clusterctl.review.compare import compare_specs

            specs, said = compare_specs(
                checkout, changed, now=request.now, book=request.book, with_price_drift=request.with_price_drift
            )
        return checkout.base_commit, checkout.head_commit, specs, (*unread, *said)


def _from_previews(request: ReviewRequest) -> InfrastructureChange | None:
    if not request.previews:
        return None
    from clusterctl.review.infrastructure import infrastructure_change

    return infrastructure_change(request.previews, request.previews_base)


def _price_dates(specs: Sequence[SpecChange], infrastructure: InfrastructureChange | None) -> tuple[date, date] | None:
    """Oldest and newest day of a price that was used."""
    days = [
        day
        for spec in specs
        for plan in (spec.before, spec.after)
        if plan is not None
        for day in (plan.prices.oldest, plan.prices.newest)
        if day is not None
    ]
    days += (infrastructure.price_dates or ()) if infrastructure else ()
    return (min(days), max(days)) if days else None
