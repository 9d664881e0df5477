"""Where telemetry is kept; see docs/telemetry-store.md.  Cheap to import: opening a store loads what it needs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.paths import user_data_dir

if TYPE_CHECKING:
    from clusterctl.store.object_store import ObjectStore
    from clusterctl.store.parquet_store import TelemetryStore as TelemetryStore
    from clusterctl.store.source import TelemetrySource as TelemetrySource

BUCKETS = ("s3", "gs", "az")
RUN_STORE = "telemetry"
"""Folder of a run's folder: what agents beside its roles have measured, in the run's place and where it was brought."""
URL_HINT = "a folder, or `s3://bucket/folder`, `gs://bucket/folder`, `az://container/folder`"


def default_store_url() -> str:
    """CLUSTERCTL_TELEMETRY, else `telemetry` in the user's data folder."""
    return os.environ.get("CLUSTERCTL_TELEMETRY") or str(user_data_dir() / "telemetry")


def open_store(url: str | None = None, *, node: str | None = None) -> TelemetryStore:
    """The store at `url` (else at `default_store_url()`): a bucket, or a folder, which is made when written to.

    node: whose name its batches and notes carry; else this machine's.
    Raises SpecError for a URL that is none; ClusterctlError when a bucket's package is missing.
    """
    from clusterctl.store.parquet_store import TelemetryStore

    return TelemetryStore(open_object_store(url), node=node)


def open_source(url: str | None = None) -> TelemetrySource:
    """What answers at `url`: a store, or `prometheus+http://host:9090`; without one what is at `default_store_url()`,
    together with what was brought here of runs in places of their own.

    Raises as `open_store` does.  That a server does not answer is no error here: `TelemetrySource.problems` says it.
    """
    where = url or default_store_url()
    if where.startswith("prometheus+"):
        from clusterctl.store.prometheus import Prometheus

        source: TelemetrySource = Prometheus(where)
    else:
        source = open_store(where)
    if url is not None:
        return source
    from clusterctl.store.run_stores import RunStores

    return RunStores(source, user_data_dir() / "runs")


def open_object_store(url: str | None = None) -> ObjectStore:
    """What a store lies in, for a process that writes batches without polars.  Raises as `open_store`."""
    from clusterctl.store.object_store import Folder

    where = url or default_store_url()
    scheme = where.partition("://")[0] if "://" in where else ""
    if scheme in BUCKETS:
        try:
            from clusterctl.store.bucket import Bucket
        except ModuleNotFoundError as error:
            hint = "pip install 'clusterctl[telemetry]'"
            raise ClusterctlError("a bucket needs the package obstore", hint=hint) from error
        return Bucket(where, folder=user_data_dir())
    if scheme:
        read_only = "; it can be read" if scheme.startswith("prometheus+") else ""
        raise SpecError(f"no store is kept at {scheme}://{read_only}", hint=URL_HINT)
    return Folder(Path(where).expanduser().absolute())
