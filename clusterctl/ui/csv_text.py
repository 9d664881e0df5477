"""CSV as every command exports it."""

from __future__ import annotations

import polars as pl

FORMULA = r"^([=+\-@\t\r\n＝＋－＠])"


def csv_text(rows: pl.DataFrame) -> str:
    """CSV for people too: text that a spreadsheet would run as a formula gets a ' before it (OWASP, CSV Injection), as
    labels, notes and names are whatever somebody wrote.  Columns of numbers stay; NaN is empty, as all unknowns.
    """
    text = pl.col(pl.String)
    safe = text.str.replace(FORMULA, "'${1}")
    return rows.with_columns(safe, pl.col(pl.Float32, pl.Float64).fill_nan(None)).write_csv()
