"""Objects in a bucket of S3, GCS or Azure.  What was read stays in a cache on this machine: an object never changes."""

from __future__ import annotations

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
import obstore.exceptions
import obstore.store

from clusterctl.errors import SpecError
from clusterctl.store import URL_HINT
from clusterctl.store.object_store import Entry, Folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

TIMEOUT = timedelta(seconds=20)
"""Of one request: a compacted hour of 10,000 GPUs is 55 MB, which 25 Mbit/s bring in that time."""
MAX_CACHE_BYTES = 20 * 2**30
"""A week of 10,000 GPUs with all their roll-ups."""
CLOUDS = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
"""What the names of a cloud's variables begin with."""
AT_ONCE = 32
"""Requests; S3 answers one after some 30 ms, and serves thousands a second."""


class Bucket:
    """A bucket, or a folder in one.  Credentials come from the environment, as the cloud's own tools take them.

    folder: of this machine; cache and spool lie in it.  Raises SpecError for a URL that is none.
    """

    def __init__(self, url: str, *, folder: Path, timeout: timedelta = TIMEOUT) -> None:
        self.where = re.sub(r"//[^/@]*@|\?.*", lambda match: "//" if match[0].startswith("//") else "", url)
        allow_http = os.environ.get(f"{CLOUDS[url.partition('://')[0]]}_ALLOW_HTTP", "")
        try:
            self._store = obstore.store.from_url(
                url,
                client_options={
                    "timeout": timeout,
                    "connect_timeout": min(timeout, timedelta(seconds=5)),
                    "allow_http": allow_http.lower() in {"1", "true"},
                },
                retry_config={"max_retries": 2, "retry_timeout": timeout},
            )
        except Exception as error:
            raise SpecError(
                f"{self.where} is no bucket that can be opened: {_first_line(error)}", hint=URL_HINT
            ) from error
        name = hashlib.sha256(self.where.encode()).hexdigest()[:16]
        self.spool: Folder | None = Folder(folder / "telemetry-spool" / name)
        self._cache = Folder(folder / "telemetry-cache" / name)

    def entries(self, prefix: str) -> list[Entry]:
        with _as_os_error():
            return [
                Entry(key=each["path"], size_bytes=each["size"], modified=each["last_modified"])
                for chunk in obstore.list(self._store, prefix.rstrip("/"), chunk_size=1000)
                for each in chunk
            ]

    def folders(self, prefix: str) -> list[str]:
        with _as_os_error():
            found = obstore.list_with_delimiter(self._store, prefix.rstrip("/") or None)["common_prefixes"]
        return sorted(each.rstrip("/").rpartition("/")[2] for each in found)

    def put(self, key: str, content: bytes, *, new: bool = False) -> bool:
        with _as_os_error():
            try:
                obstore.put(self._store, key, content, mode="create" if new else "overwrite")
            except obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def local(self, key: str) -> Path:
        """The file in the cache, fetched if need be."""
        path = self._cache.local(key)
        if not path.exists():
            with _as_os_error():
                content = bytes(obstore.get(self._store, key).bytes())
            self._cache.put(key, content)
        return path

    def bring(self, keys: Iterable[str]) -> None:
        """Fetch many at once; the first failure that is not of one object ends it."""
        missing = [key for key in keys if not self._cache.local(key).exists()]
        if not missing:
            return
        self._make_room()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._bring_one, missing))  # which cancels those to come when one fails

    def delete(self, keys: Iterable[str]) -> None:
        gone = list(keys)
        if gone:
            with _as_os_error(), suppress(FileNotFoundError):
                obstore.delete(self._store, gone)
            self._cache.delete(gone)

    def _bring_one(self, key: str) -> None:
        with suppress(FileNotFoundError):
            self.local(key)

    def _make_room(self) -> None:
        entries = sorted(self._cache.entries(""), key=lambda entry: entry.modified)
        size = sum(entry.size_bytes for entry in entries)
        for entry in entries:
            if size <= MAX_CACHE_BYTES:
                return
            size -= entry.size_bytes
            self._cache.delete([entry.key])


@contextmanager
def _as_os_error() -> Iterator[None]:
    """obstore's errors as OSError, which says what a folder's would."""
    try:
        yield
    except (obstore.exceptions.BaseError, ValueError) as error:
        raise OSError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    """What happened: without addresses, whose query may hold a signature, and without durations."""
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    what = re.sub(r"https?://\S+", "", line.rpartition(" - ")[2])[:300]
    return "it does not answer" if "error sending request" in what else what
