"""`clusterctl plan`: how many GPUs and sandboxes, how long, how much, how sure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option
from typer.core import TyperCommand

from clusterctl.errors import SpecError
from clusterctl.plan_service import Planner, compare_all, open_source, refuse_old_prices
from clusterctl.specfile.plan_file import plan_text, write_plan
from clusterctl.ui.streams import emit, emit_json
from clusterctl.ui.terminal import MAX_COLUMNS, MIN_COLUMNS, Terminal, terminal
from planners.plan.value import Plan

OVERVIEW = "?"
"""What `--explain` without an id stands for; no id looks like it."""
Colour = Literal["auto", "always", "never"]
Objective = Literal["cost", "time", "balanced"]


class PlanCommand(TyperCommand):
    """Lets `--explain` stand alone: without an id it lists what can be explained."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a bare `--explain` its value.  `Any` because typer keeps its context class private."""
        return super().parse_args(ctx, with_bare_explain(args))


def with_bare_explain(args: Sequence[str]) -> list[str]:
    """`--explain` followed by an option, a file or nothing asks for the overview."""
    out: list[str] = []
    for index, arg in enumerate(args):
        out.append(arg)
        if arg == "--":
            return [*out, *args[index + 1 :]]
        following = args[index + 1] if index + 1 < len(args) else "--"
        is_file = following.endswith((".yaml", ".yml", ".json")) or following == "-"
        if arg == "--explain" and (following.startswith("-") or is_file):
            out.append(OVERVIEW)
    return out


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("plan", cls=PlanCommand, context_settings={"help_option_names": ["-h", "--help"]})
def plan(
    spec: Annotated[str, Argument(help="Run spec (YAML) or plan.json; `-` reads standard input.")],
    *,
    as_json: Annotated[bool, Option("--json", help="Print JSON (docs/plan-json.md).")] = False,
    markdown: Annotated[bool, Option("--markdown", help="Print a comment for a pull request.")] = False,
    explain: Annotated[
        str | None, Option(metavar="[ID]", help="Show where a number comes from; without ID, list all ids.")
    ] = None,
    what_if: Annotated[
        list[str] | None, Option(metavar="KEY=VALUE", help="Show the effect of a change; repeatable.")
    ] = None,
    compare: Annotated[str | None, Option(metavar="FILE", help="Compare with this spec or plan.")] = None,
    pick: Annotated[int | None, Option(min=1, help="Take the alternative with this number.")] = None,
    objective: Annotated[Objective | None, Option(help="Objective instead of the spec's.")] = None,
    out: Annotated[
        Path | None, Option("--out", "-o", help="Write the plan to this file, for example plan.json.")
    ] = None,
    plot: Annotated[Path | None, Option(metavar="FOLDER", help="Write pictures (SVG) into this folder.")] = None,
    prices: Annotated[Path | None, Option(metavar="BOOK", help="Price book folder instead of the current one.")] = None,
    max_price_age: Annotated[
        int | None, Option(metavar="DAYS", min=0, help="Refuse older prices with exit code 4.")
    ] = None,
    now: Annotated[str | None, Option(metavar="DATE", help="Plan as if it were this day.")] = None,
    width: Annotated[int | None, Option(min=MIN_COLUMNS, max=MAX_COLUMNS, help="Width of the page in columns.")] = None,
    colour: Annotated[Colour, Option("--color", help="When to use colour.")] = "auto",
    verbose: Annotated[bool, Option("--verbose", "-v", help="Show every section in full.")] = False,
) -> None:
    """Plan a run: which fleet, how long, how much, how sure.

    Reads a run spec, searches the offers of the price book, prints the choice, its reasons and the alternatives.
    A plan.json is shown as stored; with --what-if, --pick, --objective or --prices its spec is planned again.
    """
    if sum((as_json, markdown, explain is not None)) > 1:
        raise SpecError("--json, --markdown and --explain exclude each other", hint="give one of them")
    if explain is not None and (what_if or compare):
        raise SpecError("--explain works on one plan, not with --what-if or --compare", hint="leave out one of them")
    planner = Planner(now=_moment(now), book=prices, pick=pick, objective=objective)
    source = open_source(spec)
    found = compare_all(planner, source, changes=what_if or [], against=compare) if what_if or compare else []
    result = found[-1].other if found else planner.plan(source)
    if max_price_age is not None:
        refuse_old_prices(result, max_price_age, now=planner.now)
    screen = _screen(width, colour)
    if as_json:
        text = found[-1].as_json() if found else plan_text(result)
    elif markdown:
        from clusterctl.ui.markdown import render_markdown

        text = render_markdown(result, source=source.label, found=found[-1] if found else None)
    elif explain is not None:
        from clusterctl.ui.explain import render_explanation

        wanted = None if explain == OVERVIEW else explain
        text = render_explanation(result, screen, source=source.label, wanted=wanted, verbose=verbose)
    elif found:
        from clusterctl.ui.compare import render_differences

        text = render_differences(found, screen, verbose=verbose)
    else:
        from clusterctl.ui.plan_page import render_page

        text = render_page(result, screen, source=source.label, verbose=verbose)
    _write(result, source.label, out, plot)  # before stdout: whoever reads that may stop reading
    (emit_json if as_json else emit)(text)


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        said = datetime.fromisoformat(text)
        return said.replace(tzinfo=said.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SpecError(f"--now {text[:40]!r} is not a date", hint="for example --now 2026-11-23") from error


def _screen(width: int | None, colour: Colour) -> Terminal:
    screen = terminal()
    if colour != "auto":
        screen = replace(screen, colour=colour == "always")
    return screen if width is None else replace(screen, columns=width)


def _write(plan: Plan, source: str, out: Path | None, plot: Path | None) -> None:
    """Write what is asked for; say so on stderr."""
    if out is not None:
        write_plan(out, plan)
        typer.echo(f"wrote {out}", err=True)
    if plot is not None:
        from clusterctl.ui.pictures import write_pictures

        for path in write_pictures(plan, plot, source=source):
            typer.echo(f"wrote {path}", err=True)
