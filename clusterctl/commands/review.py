"""`clusterctl review`: what a change costs, and which rules it breaks."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from clusterctl.review.review import ReviewRequest, make_review
from clusterctl.review.value import Review
from clusterctl.ui.streams import emit, printable

Format = Literal["text", "markdown"]


def review(
    paths: Annotated[list[str] | None, Argument(help="Files and folders to compare; default: the checkout.")] = None,
    *,
    base: Annotated[
        str | None, Option(metavar="REV", help="Compare with where the change left this branch, tag or commit.")
    ] = None,
    head: Annotated[
        str | None, Option(metavar="REV", help="The change as this commit; default: the working tree.")
    ] = None,
    price_drift: Annotated[bool, Option("--price-drift", help="Also show what prices did since the base.")] = False,
    prices: Annotated[Path | None, Option(metavar="BOOK", help="Price book folder instead of the current one.")] = None,
    name: Annotated[
        str, Option("--id", metavar="NAME", help="Name of this review among several of a change.")
    ] = "review",
) -> int:
    """Review a change: what it costs, which rules it breaks.

    Plans every run spec and plan file that changed in a git checkout at both ends with the same prices.  Exit codes:
    0 fine, 1 a spec or something else is wrong, 2 a mandatory rule is broken, 3 a run is not feasible.
    """
    request = ReviewRequest(
        now=datetime.now(UTC).replace(microsecond=0),
        folder=Path.cwd(),
        id=name,
        base=base,
        head=head,
        paths=tuple(paths or ()),
        with_price_drift=price_drift,
        book=prices,
    )
    made = make_review(request)
    emit(_plain(made))
    return made.exit_code


def _plain(made: Review) -> str:
    lines = []
    for spec in made.specs:
        before = "-" if spec.before is None else f"${spec.before.usd.p50:,.0f}"
        after = "-" if spec.after is None else f"${spec.after.usd.p50:,.0f}"
        lines.append(f"{spec.status:9} {spec.path}: {before} -> {after} {spec.problem}")
        lines += [f"          {d.field}: {d.before} -> {d.after} {d.usd_change}" for d in spec.drivers]
    lines += [f"note: {note}" for note in made.notes]
    return printable("\n".join(lines) + "\n") if lines else "no run spec changed\n"
