"""Where a run can live: one small interface, one module per kind of place."""
