"""Costs that a job reports: how much, at which price, and up to where its marks have been counted."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

EXACT = {"sqlite": "TEXT", "postgresql": "NUMERIC"}


def upgrade() -> None:
    """Add them."""
    exact = EXACT[op.get_context().dialect.name]
    for name, kind in {"quantity": exact, "usd_per_unit": exact, "mark": "BIGINT"}.items():
        op.execute(f"ALTER TABLE costs ADD COLUMN {name} {kind}")
