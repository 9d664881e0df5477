"""What a reader of telemetry can ask, whatever keeps it: our store, or a Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    import polars as pl


class TelemetrySource(Protocol):
    """Telemetry that can be read."""

    where: str
    """For messages: a path or a URL, without secrets."""

    def read(
        self,
        table: str,
        *,
        start: datetime,
        end: datetime,
        step_seconds: int = 0,
        run: str | None = None,
        nodes: Collection[str] | None = None,
        columns: Collection[str] | None = None,
    ) -> pl.DataFrame:
        """Rows of a table of `planners.telemetry.tables` with start < at <= end, with its columns and types, unsorted.

        step_seconds 0: as stored, which is every 10 s once compacted.  More: one row per bucket of at least that step,
        `at` = its end; start and end are widened to whole buckets.
        columns: only these, and `at`; with a step, keys that are left out are rolled up over (`seconds` becomes
        GPU-seconds), so columns=["reason", "seconds"] asks how long GPUs idled and why.
        Nothing there is an empty frame.  What can't be read is left out, and `problems` says so.
        """
        ...

    def span(self) -> tuple[datetime, datetime] | None:
        """The first and last `at` of GPUs, hosts and sandboxes; None when there is nothing."""
        ...

    def problems(self) -> tuple[str, ...]:
        """What could not be read or written so far: one message each, shown beside the rest."""
        ...
