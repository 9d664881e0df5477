"""What logs of runs elsewhere taught."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

UTC = {"sqlite": "TIMESTAMP", "postgresql": "TIMESTAMP WITH TIME ZONE"}


def upgrade() -> None:
    """Make the table."""
    utc = UTC[op.get_context().dialect.name]
    op.execute(
        "CREATE TABLE log_lessons (lesson_id TEXT PRIMARY KEY NOT NULL, source TEXT NOT NULL, content JSON NOT NULL, "
        f"learned_at {utc} NOT NULL, revoked_at {utc})"
    )
