"""The FinOps Foundation's own validator reads our FOCUS 1.0."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "costs"))
from test_focus import SOURCE, spent  # noqa: F401 - a fixture

from clusterctl.costs.focus_file import focus_bytes, focus_rows
from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger

VALIDATOR = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    / "clusterctl-engines/focus-validator/bin/focus-validator"
)
OLD_NAMES = {
    "InvoiceIssuer": "InvoiceIssuerName",
    "Provider": "ProviderName",
    "Publisher": "PublisherName",
    "ResourceID": "ResourceId",
    "ChargeType": "ChargeCategory",
}
"""Rules of the validator's set 1.0 that ask for a column by a name that FOCUS 1.0 (specification/columns at its tag v1.0) does not have."""
THEIR_RULES = {
    "InvoiceIssuer_Required",
    "Provider_Required",
    "Publisher_Required",
    "ResourceID_Required",
    "SkuPriceId_Nullable",
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(str(tmp_path / "ledger.db")) as opened:
        yield opened


@pytest.fixture
def rows(spent: Ledger) -> list[dict[str, str]]:  # noqa: F811
    text = focus_bytes(focus_rows(spent, SOURCE, "1.0")[0], parquet=False).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def failures(rows: list[dict[str, str]], folder: Path) -> set[str]:
    """Names of the rules that the validator says are broken; its exit code agrees."""
    assert VALIDATOR.exists(), f"{VALIDATOR} is missing: `make test-engines` installs it"
    with (folder / "focus.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    codes = folder / "focus_validator" / "utils" / "currency_codes.csv"  # it looks for them beside where it runs
    codes.parent.mkdir(parents=True, exist_ok=True)
    codes.write_text(",currency_codes\n0,USD\n", encoding="utf-8")
    command = [str(VALIDATOR), "--data-file", "focus.csv", "--validate-version", "1.0"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = set(re.findall(r"^(\w+) failed:", ended.stdout, re.MULTILINE))
    assert ("Validation succeeded" in ended.stdout) == (not found), ended.stdout + ended.stderr
    return found


def named_twice(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """With the names that the validator asks for, beside those of the specification: then each of its rules runs."""
    return [row | {old: row[new] for old, new in OLD_NAMES.items()} for row in rows]


def test_it_passes(rows: list[dict[str, str]], tmp_path: Path) -> None:
    assert failures(named_twice(rows), tmp_path) == set()


def test_as_written_it_misses_nothing_but_names_that_the_specification_does_not_have(
    rows: list[dict[str, str]], tmp_path: Path
) -> None:
    assert failures(rows, tmp_path) == THEIR_RULES


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("BilledCost", "", "BilledCost_NotNull"),
        ("BillingCurrency", "Dollar", "BillingCurrency_IsCurrencyCode"),
        ("SkuPriceId", "", "SkuPriceId_Nullable"),
        ("ServiceCategory", "Machines", "ServiceCategory_Enum"),
        ("ChargePeriodEnd", "yesterday", "ChargePeriodEnd_IsDateTime"),
        ("Tags", "team=ml", "Tags_IsJSONObject"),
    ],
)
def test_it_would_find_what_is_wrong(
    rows: list[dict[str, str]], tmp_path: Path, column: str, value: str, rule: str
) -> None:
    assert rule in failures(named_twice([rows[0] | {column: value}, *rows[1:]]), tmp_path)
