"""How Alembic runs our revisions: on the connection, and in the transaction, that `upgrade` gives it."""

from __future__ import annotations

from alembic import context

from clusterctl.ledger.ledger_tables import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
