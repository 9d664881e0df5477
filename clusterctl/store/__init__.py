"""Where telemetry is kept; see docs/telemetry-store.md.  Cheap to import: opening a store loads what it needs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.errors import SpecError
from clusterctl.paths import user_data_dir

if TYPE_CHECKING:
    from clusterctl.store.objects import Objects
    from clusterctl.store.source import Source as Source
    from clusterctl.store.store import Store as Store

BUCKETS = ("s3", "gs", "az")
URL_HINT = "a folder, or `s3://bucket/folder`, `gs://bucket/folder`, `az://container/folder`"


def default_store_url() -> str:
    """CLUSTERCTL_TELEMETRY, else `telemetry` in the user's data folder."""
    return os.environ.get("CLUSTERCTL_TELEMETRY") or str(user_data_dir() / "telemetry")


def open_store(url: str | None = None, *, node: str | None = None) -> Store:
    """The store at `url` (else at `default_store_url()`): a bucket, or a folder, which is made when written to.

    node: whose name its segments and notes carry, and whose clock its rows follow; None for rows of many nodes.
    Raises SpecError for a URL that is none; ClusterctlError when a bucket's package is missing.
    """
    from clusterctl.store.store import Store

    return Store(open_objects(url), node=node)


def open_objects(url: str | None = None) -> Objects:
    """What a store lies in, for a process that writes segments without polars.  Raises as `open_store`."""
    from clusterctl.store.objects import Folder

    where = url or default_store_url()
    scheme = where.partition("://")[0] if "://" in where else ""
    if scheme in BUCKETS:
        from clusterctl.store.bucket import Bucket

        return Bucket(where, folder=user_data_dir())
    if scheme:
        raise SpecError(f"no store is kept at {scheme}://", hint=URL_HINT)
    return Folder(Path(where).expanduser().absolute())
