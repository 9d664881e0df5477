"""CSV as every command exports it."""

from __future__ import annotations

import polars as pl

FORMULA = r"^([=+\-@\t\r\n＝＋－＠])"


def csv_text(rows: pl.DataFrame) -> str:
    """CSV for people too: text that a spreadsheet would run as a formula gets a ' before it (OWASP, CSV Injection), as
    labels, notes and names are whatever somebody wrote.  Columns of numbers stay; what is no finite one is empty.
    """
    safe, number = pl.col(pl.String).str.replace(FORMULA, "'${1}"), pl.col(pl.Float32, pl.Float64)
    return rows.with_columns(safe, pl.when(number.is_finite()).then(number)).write_csv()
