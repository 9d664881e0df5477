"""Makes a review: what changed in git and in previews, planned and priced at both ends; the rules that it breaks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from clusterctl.errors import ClusterctlError
from clusterctl.review.base_policies import policies_of_base, text_reader
from clusterctl.review.book_ends import BookEnds, book_ends
from clusterctl.review.changed import ChangedSpec, changed_specs
from clusterctl.review.checkout import Checkout, open_checkout, paths_inside
from clusterctl.review.policies import Policies, load_policies, with_findings
from clusterctl.review.trees import shown_path
from clusterctl.review.two_processes import further_processes
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
    policies: str = ""
    """File of policies; empty = that of the base, if it has one."""


def make_review(request: ReviewRequest) -> Review:
    """The review.  Raises ClusterctlError for what keeps it from being made."""
    if request.base is None and not request.previews:
        raise ClusterctlError(
            "there is nothing to compare", hint="give `--base REV` in a git checkout, or `--preview FILE`"
        )
    if request.previews_base and not request.previews:
        raise ClusterctlError("--preview-base is compared with a preview of the head", hint="give that by --preview")
    if request.base is None and (request.paths or request.head or request.with_price_drift):
        raise ClusterctlError("PATHS, --head and --price-drift are about a git checkout", hint="give `--base REV` too")
    infrastructure = _from_previews(request)
    if request.base is None:
        return with_findings(load_policies(request.policies), _review(request, None, infrastructure, (), ()))
    with open_checkout(request.folder, request.base, request.head) as checkout:
        within = paths_inside(checkout.root, request.folder, request.paths)
        policies, without = _policies(request, checkout)
        with book_ends(checkout, request.book, request.folder) as books:
            changed, unread = changed_specs(checkout, within, books.changed)
            specs, said = _from_specs(request, checkout, changed, books) if changed else ((), ())
        made = _review(request, checkout, infrastructure, specs, (*without, *unread, *said))
        return with_findings(policies, made, read_head=text_reader(checkout.head, "of the head"))


def _from_specs(
    request: ReviewRequest, checkout: Checkout, changed: Sequence[ChangedSpec], books: BookEnds
) -> tuple[tuple[SpecChange, ...], tuple[str, ...]]:
    with further_processes(len(changed), _get_ready) as pool:
        from clusterctl.review.compare import compare_specs

        return compare_specs(
            checkout, changed, pool, now=request.now, books=books, with_price_drift=request.with_price_drift
        )


def _get_ready() -> None:
    import clusterctl.review.plan_jobs  # noqa: F401  # a second of work


def _review(
    request: ReviewRequest,
    checkout: Checkout | None,
    infrastructure: InfrastructureChange | None,
    specs: tuple[SpecChange, ...],
    notes: tuple[str, ...],
) -> Review:
    """All but the findings."""
    return Review(
        id=request.id,
        base=checkout.base_commit if checkout else "",
        head=checkout.head_commit if checkout else "",
        valid_at=request.now,
        specs=specs,
        infrastructure=infrastructure,
        notes=notes,
        price_dates=_price_dates(specs, infrastructure),
        book=next((plan.prices.book for spec in specs if (plan := spec.after or spec.before)), ""),
    )


def _policies(request: ReviewRequest, checkout: Checkout) -> tuple[Policies, tuple[str, ...]]:
    """The policies, and notes.

    A file of the checkout is read from the base, whoever names it: at the head a fork could loosen it, and have its
    Python run.
    """
    if not request.policies:
        return policies_of_base(checkout.base), ()
    absolute = os.path.normpath(request.folder / request.policies)
    if not absolute.startswith(f"{checkout.root}/"):
        return load_policies(request.policies), ()
    name = os.path.relpath(absolute, checkout.root)
    if checkout.base.object_id(name) is None and checkout.head.object_id(name) is not None:
        note = (
            f"{shown_path(name)} is new: it counts from the next change on, here each rule is as it is without a file."
        )
        return Policies(), (note,)
    return load_policies(name, text_reader(checkout.base, "of the base")), ()


def _from_previews(request: ReviewRequest) -> InfrastructureChange | None:
    if not request.previews:
        return None
    from clusterctl.clouds.prices import BookPrices
    from clusterctl.review.infrastructure import infrastructure_change

    return infrastructure_change(request.previews, request.previews_base, prices=BookPrices(request.book))


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
