"""Reads the log of a past run: a console log, JSON or JSON lines, a CSV, a TensorBoard event file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from clusterctl.errors import SpecError
from clusterctl.frameworks.logs.event_file import event_rows, is_event_file
from clusterctl.frameworks.logs.log_rows import LogRow, as_number, flat_numbers, rows_of_line
from clusterctl.frameworks.logs.names import STEP_NUMBERS, known
from clusterctl.frameworks.logs.run_log import RunLog, run_log
from clusterctl.specfile.yaml_file import read_bytes, shown_name

MAX_BYTES = 256 << 20
HINT = (
    "give a console log of verl, OpenRLHF, TRL, SkyRL or torchtitan, JSON lines, trainer_state.json, W&B's CSV or "
    "history, or a TensorBoard event file"
)
Rows = Iterable[LogRow | int]


def read_log(path: str | Path, framework: str | None = None) -> RunLog:
    """What the steps of a run took, by its log.  framework: whose figures count, where the log has several.

    Raises SpecError with what is wrong: no log, no figures of steps, several runs.
    """
    name = shown_name(path)
    if str(path) != "-" and Path(path).is_dir():
        raise SpecError(
            f"{name}: is a folder, not a log", hint="name the file in it, e.g. events.out.tfevents.… or its CSV"
        )
    content = read_bytes(path, max_bytes=MAX_BYTES)
    if not content.strip():
        raise SpecError(f"{name}: is empty", hint=HINT)
    return run_log(name, _rows(name, content), framework)


def _rows(name: str, content: bytes) -> Rows:
    if is_event_file(content[:64]):
        return event_rows(content)
    if b"\0" in content[:4096]:
        is_wandb = name.endswith(".wandb")
        hint = "W&B's own format: `wandb sync` it and export the run's history as CSV" if is_wandb else HINT
        raise SpecError(f"{name}: is a binary file, no log", hint=hint)
    text = content.decode("utf-8", "replace")
    start = text[:1000].lstrip()
    if start[:1] in ("{", "[") and (document := _document(text)) is not None:
        return _from_document(name, document)
    header = start.partition("\n")[0]
    if "," in header and any(column.strip().strip('"') in STEP_NUMBERS for column in header.split(",")):
        return _from_csv(name, text)
    return _from_lines(text)


def _from_lines(text: str) -> Iterator[LogRow | int]:
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        for row in rows_of_line(line, number):
            is_cut_off = number == len(lines) and isinstance(row, LogRow) and row.step is not None
            yield number if is_cut_off else row  # no end of line: its last figure may lack digits


def _document(text: str) -> Any:
    """A whole JSON document; None where the text is something else, JSON lines for example."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _from_document(name: str, document: Any) -> Iterator[LogRow | int]:
    """`log_history` of a trainer_state.json, a list of steps, or one step."""
    found = document.get("log_history", document.get("data", document)) if isinstance(document, dict) else document
    items = found if isinstance(found, list) else [found]
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict):
            raise SpecError(f"{name}: is JSON, but no list of steps", hint=HINT)
        yield LogRow(flat_numbers(item), number)


def _from_csv(name: str, text: str) -> Iterator[LogRow | int]:
    """A table with a column for the step; W&B's export puts the run's name before each other column."""
    try:
        reader = csv.DictReader(io.StringIO(text), strict=True)
        columns = [column for column in reader.fieldnames or () if not column.endswith(("__MIN", "__MAX"))]
        runs = sorted({column.rpartition(" - ")[0] for column in columns if " - " in column})
        if len(runs) > 1:
            raise SpecError(f"{name}: holds {len(runs)} runs: {', '.join(runs[:3])}", hint="export one run at a time")
        for row in reader:
            numbers = {known(column): as_number(row.get(column)) for column in columns}
            yield LogRow({key: value for key, value in numbers.items() if value is not None}, reader.line_num)
    except csv.Error as error:
        raise SpecError(f"{name}: is no CSV: {error}", hint=HINT) from error
