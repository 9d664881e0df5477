"""`clusterctl review`: what a change costs, and which rules it breaks."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer
from typer import Argument, Option

from clusterctl.errors import SpecError
from clusterctl.json_text import json_text
from clusterctl.review.post.target import PostRequest
from clusterctl.review.review import ReviewRequest, make_review
from clusterctl.review.value import Review
from clusterctl.review.verdict import is_silent
from clusterctl.specfile.write import write_atomic
from clusterctl.ui.streams import emit, emit_data, emit_json
from clusterctl.ui.terminal import terminal

Format = Literal["text", "markdown", "json", "sarif", "infracost-json"]
Host = Literal["github", "gitlab", "bitbucket", "azure-devops"]
Mode = Literal["update", "new", "hide-and-new", "delete-and-new"]


def review(
    paths: Annotated[list[str] | None, Argument(help="Files and folders to compare; default: the checkout.")] = None,
    *,
    base: Annotated[
        str | None, Option(metavar="REV", help="Compare with where the change left this branch, tag or commit.")
    ] = None,
    head: Annotated[
        str | None, Option(metavar="REV", help="The change as this commit; default: the working tree.")
    ] = None,
    preview: Annotated[
        list[Path] | None, Option(metavar="FILE", help="Preview of Pulumi of the change, as JSON; repeatable.")
    ] = None,
    preview_base: Annotated[
        list[Path] | None, Option(metavar="FILE", help="Preview at the base; default: the state it shows; repeatable.")
    ] = None,
    price_drift: Annotated[bool, Option("--price-drift", help="Also say what prices did since the base.")] = False,
    prices: Annotated[Path | None, Option(metavar="BOOK", help="Price book folder instead of the current one.")] = None,
    policies: Annotated[
        str | None, Option(metavar="FILE", help="Rules that count; default: policies.yaml of the base (docs/rules.md).")
    ] = None,
    output: Annotated[
        Format | None, Option("--format", help="Default: text on a terminal, else markdown.", show_default=False)
    ] = None,
    as_json: Annotated[bool, Option("--json", help="The same as --format json.")] = False,
    out: Annotated[
        Path | None, Option("--out", "-o", metavar="FILE", help="Write to this file, not to stdout.")
    ] = None,
    sarif: Annotated[
        Path | None, Option(metavar="FILE", help="Also write the findings of the rules as SARIF to this file.")
    ] = None,
    post: Annotated[
        Host | None, Option(help="Also write the comment of the pull request that CI names.", show_default=False)
    ] = None,
    post_mode: Annotated[Mode, Option(help="What becomes of the comment of an earlier review.")] = "update",
    repository: Annotated[
        str | None, Option(metavar="OWNER/NAME", help="Of the pull request; default: what CI says (docs/review-ci.md).")
    ] = None,
    pull_request: Annotated[
        int | None, Option(metavar="NUMBER", min=1, help="To post to; default: the one that CI runs for.")
    ] = None,
    api_url: Annotated[str | None, Option(metavar="URL", help="Of the place's API; default: what CI says.")] = None,
    name: Annotated[str, Option("--id", metavar="NAME", help="Name among several reviews of one change.")] = "review",
) -> int:
    """Review a change: what it costs, which rules it breaks.

    Plans every run spec and plan file that changed in a git checkout at both ends with the same prices, and prices
    what Pulumi would make, by `pulumi preview --json` or its event log.
    Exit codes: 0 fine, 1 a spec or something else is wrong, 2 a mandatory rule is broken, 3 a run is not feasible.
    """
    if as_json and output not in (None, "json"):
        raise SpecError(f"--json and --format {output} exclude each other", hint="give one of them")
    if post is None and (repository, pull_request, api_url) != (None, None, None):
        raise SpecError(
            "--repository, --pull-request and --api-url say where to post",
            hint=f"give --post {'|'.join(get_args(Host))} too",
        )
    chosen = "json" if as_json else output or ("text" if sys.stdout.isatty() else "markdown")
    made = make_review(
        ReviewRequest(
            now=datetime.now(UTC).replace(microsecond=0),
            folder=Path.cwd(),
            id=name,
            base=base,
            head=head,
            paths=tuple(paths or ()),
            previews=tuple(preview or ()),
            previews_base=tuple(preview_base or ()),
            with_price_drift=price_drift,
            book=prices,
            policies=policies or "",
        )
    )
    if sarif is not None:
        _write(sarif, _as_sarif(made))
    if out is not None:
        _write(out, _FORMATS[chosen](made))
    elif chosen == "text":
        emit(_as_text(made))
    else:
        (emit_data if chosen == "markdown" else emit_json)(_FORMATS[chosen](made))
    if post is not None:
        where = PostRequest(
            place=post,
            mode=post_mode,
            repository=repository,
            pull_request=pull_request,
            api_url=api_url,
            nothing_changed=is_silent(made),
        )
        _post(made, where)
    return made.exit_code


def _write(file: Path, text: str) -> None:
    write_atomic(file, text)
    typer.echo(f"wrote {file}", err=True)


def _post(made: Review, where: PostRequest) -> None:
    """Write the comment; say on stderr what became of it."""
    from clusterctl.review.comment import markdown
    from clusterctl.review.post.marker import marker_of
    from clusterctl.review.post.post_review import post_review

    result = post_review(
        lambda place: markdown(made, limit=place.most_characters, html=place.has_html), marker_of(made), where
    )
    typer.echo(f"{result.message} {result.url}".rstrip(), err=True)


def _as_text(made: Review) -> str:
    from clusterctl.review.terminal_text import text

    return text(made, terminal())


def _plain_text(made: Review) -> str:
    from clusterctl.review.terminal_text import text

    return text(made, replace(terminal(), colour=False))


def _as_markdown(made: Review) -> str:
    from clusterctl.review.comment import markdown

    return markdown(made)


def _as_json(made: Review) -> str:
    from clusterctl.review.as_json import review_data

    return json_text(review_data(made), indent=2, ensure_ascii=False) + "\n"


def _as_sarif(made: Review) -> str:
    from clusterctl.review.sarif import sarif_data

    return json_text(sarif_data(made), indent=2, ensure_ascii=False) + "\n"


def _as_infracost(made: Review) -> str:
    from clusterctl.review.infracost import infracost_data

    return json_text(infracost_data(made), indent=2, ensure_ascii=False) + "\n"


_FORMATS: dict[Format, Callable[[Review], str]] = {
    "text": _plain_text,
    "markdown": _as_markdown,
    "json": _as_json,
    "sarif": _as_sarif,
    "infracost-json": _as_infracost,
}
