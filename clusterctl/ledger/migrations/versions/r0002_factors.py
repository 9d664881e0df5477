"""Factors that own runs taught, by where they hold."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

UTC = {"sqlite": "TIMESTAMP", "postgresql": "TIMESTAMP WITH TIME ZONE"}
TABLE = """
CREATE TABLE factors (calibration_id TEXT NOT NULL, work TEXT NOT NULL, phase TEXT NOT NULL, model_class TEXT NOT NULL,
  engine TEXT NOT NULL, sandbox_profile TEXT NOT NULL, inputs TEXT NOT NULL, gpu TEXT NOT NULL,
  log_factor DOUBLE PRECISION NOT NULL, log_sd DOUBLE PRECISION NOT NULL, ratios JSON NOT NULL,
  applied_at {utc} NOT NULL, reverted_at {utc},
  PRIMARY KEY (calibration_id, work, phase, model_class, engine, sandbox_profile, inputs, gpu))
"""


def upgrade() -> None:
    """Make it."""
    op.execute(TABLE.format(utc=UTC[op.get_context().dialect.name]))
