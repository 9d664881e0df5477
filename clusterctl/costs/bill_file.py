"""The rows of a bill's file, as CSV, gzip or Parquet, and where each of them stands."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from clusterctl.errors import SpecError
from clusterctl.foreign_files import gunzip, read_limited
from clusterctl.foreign_frames import UNREADABLE, read_foreign_parquet

MAX_BYTES = 1 << 30
"""Of a file, and of what its gzip holds: providers cut their reports into files of some hundred MB."""
MAX_COLUMNS = 2000
"""Legacy reports have a column for each tag, of which AWS activates at most 500."""
AGAIN = "nothing was imported; fetch the file again"
PARQUET, GZIP, OTHERS = b"PAR1", b"\x1f\x8b", (b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"PK\x03\x04")
"""What packed files begin with; the last are zstd, bzip2, xz and zip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillFile:
    """What a file holds."""

    path: Path
    rows: pl.DataFrame
    text: bytes | None
    """The CSV, unpacked; None of Parquet."""

    def where(self, number: int) -> str:
        """`file:line` of a row in a CSV, `file:row N` in Parquet."""
        if self.text is None:
            return f"{self.path}:row {number + 1}"
        with contextlib.suppress(csv.Error):
            for place, (line, _) in enumerate(_records(self.text)):
                if place == number + 1:
                    return f"{self.path}:{line}"
        return f"{self.path}:record {number + 2}"


def read_file(path: Path) -> BillFile:
    """The rows, of text where the file is a CSV.  Raises SpecError."""
    text: bytes | None = None
    try:
        content = read_limited(path, MAX_BYTES, pipe=True)
        if content.startswith(PARQUET) or path.suffix == ".parquet":
            rows = read_foreign_parquet(content)
        else:
            text = gunzip(content, MAX_BYTES) if content.startswith(GZIP) else content
            _refuse_unlike(text, path)
            rows = pl.read_csv(text, infer_schema=False)
    except OSError as error:
        raise SpecError(f"{path}: can't be read: {error.strerror or error}", hint=AGAIN) from error
    except UNREADABLE as error:
        where = _ragged(text or b"") or ": is no whole CSV or Parquet file"
        raise SpecError(f"{path}{where}", hint=AGAIN) from error
    if rows.is_empty():
        raise SpecError(f"{path}: holds no rows", hint=AGAIN)
    return BillFile(path=path, rows=rows, text=text)


def plain(name: str) -> str:
    """`lineItem/UnblendedCost` and `line_item_unblended_cost` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _refuse_unlike(text: bytes, path: Path) -> None:
    """Raises SpecError for what is packed otherwise, and for a header with a column twice or too many of them."""
    if text.startswith((*OTHERS, GZIP)):
        raise SpecError(f"{path}: is packed in another way than by gzip once", hint="unpack it first")
    header: list[str] = []
    with contextlib.suppress(csv.Error):
        header = next(_records(text), (1, []))[1]
    if len(header) > MAX_COLUMNS:
        raise SpecError(
            f"{path}:1: has {len(header):,} columns, more than the {MAX_COLUMNS:,} that are read", hint=AGAIN
        )
    if twice := [name for name, times in Counter(header).items() if times > 1]:
        raise SpecError(f"{path}:1: has the column {twice[0][:80]} twice", hint=AGAIN)


def _records(text: bytes) -> Iterator[tuple[int, list[str]]]:
    """(line on which it begins, fields) of each record of a CSV, the header first."""
    reader, line = csv.reader(line.decode("utf-8", "replace") for line in io.BytesIO(text)), 1
    for record in reader:
        yield line, record
        line = reader.line_num + 1


def _ragged(text: bytes) -> str:
    """`:17: has 12 fields, the header 13`; empty if that is not what is wrong."""
    with contextlib.suppress(csv.Error):
        records = _records(text)
        _, header = next(records, (1, []))
        for line, record in records:
            if len(record) != len(header):
                return f":{line}: has {len(record)} fields, the header {len(header)}"
    return ""
