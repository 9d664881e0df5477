"""Bills that were imported."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

TYPES = {
    "sqlite": {"exact": "TEXT", "utc": "TIMESTAMP"},
    "postgresql": {"exact": "NUMERIC", "utc": "TIMESTAMP WITH TIME ZONE"},
}
TABLES = """
CREATE TABLE bills (bill_id TEXT PRIMARY KEY NOT NULL, provider TEXT NOT NULL, account TEXT NOT NULL,
  period_from {utc} NOT NULL, period_to {utc} NOT NULL, invoice TEXT, digest TEXT NOT NULL, files TEXT NOT NULL,
  imported_at {utc} NOT NULL);
CREATE TABLE bill_lines (bill_id TEXT NOT NULL REFERENCES bills, line INTEGER NOT NULL, run_id TEXT, resource_id TEXT,
  role TEXT, address TEXT, kind TEXT NOT NULL, description TEXT NOT NULL, from_at {utc} NOT NULL, to_at {utc} NOT NULL,
  usd {exact} NOT NULL, rows INTEGER NOT NULL, PRIMARY KEY (bill_id, line));
CREATE INDEX bill_lines_run ON bill_lines (run_id);
"""


def upgrade() -> None:
    """Make them."""
    for statement in TABLES.format(**TYPES[op.get_context().dialect.name]).strip().removesuffix(";").split(";"):
        op.execute(statement)
