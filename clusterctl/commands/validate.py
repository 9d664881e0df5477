"""`clusterctl validate`: predict published runs, and print predicted against published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from typer import Argument, Option

from clusterctl.catalog.lookup import load_calibration
from clusterctl.catalog.published_names import published_gpu, published_model
from clusterctl.errors import SpecError
from clusterctl.json_text import json_text
from clusterctl.specfile.yaml_file import read_yaml
from clusterctl.ui.spans import Line
from clusterctl.ui.streams import emit
from clusterctl.ui.terminal import terminal
from planners.validation.case import KINDS
from planners.validation.score import Answer, Score, answer_cases, summarise

MAX_BYTES = 64 << 20
MAX_VALUES = 5_000_000
JSON_FIELDS = ("id", "predicted", "published", "p10", "p90", "unit", "reason")


def validate(
    cases: Annotated[str, Argument(help="Cases file (YAML or JSON); `-` reads standard input.")],
    *,
    kind: Annotated[list[str] | None, Option(help=f"Only this kind; repeatable. One of {', '.join(KINDS)}.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict published runs with the functions that `plan` uses: ratio, 80% band and summary.

    Each case gets a prediction, or the reason why there is none; the exit code is 0 either way.
    """
    wanted = set(kind or KINDS)
    if strange := sorted(wanted - set(KINDS)):
        raise SpecError(f"--kind: `{strange[0]}` is not a kind of case", hint=f"known: {', '.join(KINDS)}")
    answers = answer_cases(_entries(cases), load_calibration(), published_model, published_gpu)
    if kind:
        answers = [answer for answer in answers if answer.kind in wanted]
    scores = summarise(answers)
    emit(_as_json(scores, answers) if as_json else _as_text(scores, answers))


def _entries(path: str) -> Sequence[object]:
    """The entries of the file: a list, or a mapping with the list under `cases`."""
    document = read_yaml(path, max_bytes=MAX_BYTES, max_values=MAX_VALUES)
    data = document.data
    if isinstance(data, dict):
        data = data.get("cases")
    if not isinstance(data, list):
        raise SpecError(
            f"{document.name}: holds no list of cases",
            hint="a cases file is a YAML list; its fields are described in tools/fit/cases/README.md",
        )
    return data


def _as_json(scores: Sequence[Score], answers: Sequence[Answer]) -> str:
    cases: list[dict[str, Any]] = [{name: getattr(answer, name) for name in JSON_FIELDS} for answer in answers]
    document = {"summary": [asdict(score) for score in scores], "cases": cases}
    return json_text(document, indent=2) + "\n"


def _as_text(scores: Sequence[Score], answers: Sequence[Answer]) -> str:
    """The cases, the summary, and why cases have no prediction."""
    from clusterctl.ui.formats import count
    from clusterctl.ui.spans import line, paint, stacked

    screen = terminal()
    unanswered = [answer for answer in answers if answer.predicted is None]
    reasons = [line(f"no prediction for {answer.id}: {answer.reason}") for answer in unanswered]
    total = [line(f"{count(len(answers), 'case')}, {len(unanswered)} without a prediction")]
    blocks = [_case_lines(answers, screen.columns), _score_lines(scores, screen.columns), reasons, total]
    return paint(stacked(blocks), colour=screen.colour)


def _case_lines(answers: Sequence[Answer], columns: int) -> list[Line]:
    from clusterctl.ui.formats import number
    from clusterctl.ui.spans import Style
    from clusterctl.ui.table import Cell, Column, cell, draw, right

    verdicts = {True: cell("inside"), False: cell("OUTSIDE", Style.WARN), None: cell("-", Style.DIM)}
    titles = (
        "case",
        Column("kind", drop=2),
        Column("quality", drop=3),
        right("predicted"),
        right("published"),
        Column("unit", drop=4),
        right("ratio"),
        Column("80% band", drop=1),
        "",
        Column("note", drop=5, prose=True),
    )

    def row(answer: Answer) -> list[Cell]:
        band = "" if answer.p10 is None else f"{number(answer.p10)} to {number(answer.p90)}"
        ratio = "-" if answer.ratio is None else f"{answer.ratio:.2f}"
        about = [answer.id, answer.kind, answer.quality or "-"]
        figures = [number(answer.predicted), number(answer.published), answer.unit or "-", ratio, band]
        return [*about, *figures, verdicts[answer.inside], cell(answer.reason or "", Style.DIM)]

    return draw(titles, [row(answer) for answer in answers], columns, indent=0)


def _score_lines(scores: Sequence[Score], columns: int) -> list[Line]:
    from clusterctl.ui.table import draw, right

    numbers = ("n", "median |error|", "p90 |error|", "median ratio", "in 80% band")
    rows = []
    for score in scores:
        ratios = [f"{value:.2f}" for value in (score.p90_abs_error, score.median_ratio, score.band80_coverage)]
        rows.append([score.kind, score.quality or "-", str(score.n), f"{score.median_abs_error:.3f}", *ratios])
    return draw(["kind", "quality", *map(right, numbers)], rows, columns, indent=0)
