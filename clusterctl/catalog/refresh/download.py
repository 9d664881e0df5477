"""A file that is being downloaded: what is there, which version it is, and how to ask for the rest."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import httpx

from clusterctl.errors import PriceError
from clusterctl.foreign_files import read_limited
from clusterctl.json_text import json_text

MAX_STATE_BYTES = 64 << 10


class Part:
    """A file as far as it is there; its state lies beside it, so that another run can continue.

    A file without readable state, or of no known version, is begun anew.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._state = path, path.with_name(f"{path.name}.state")
        self.etag = self.encoding = ""
        """etag: strong validator of the version that is being read; "" when the server gives none."""
        self.complete = False
        with suppress(OSError, ValueError, TypeError, RecursionError):
            self.etag, self.encoding, self.complete = json.loads(read_limited(self._state, MAX_STATE_BYTES))
        if not path.is_file() or not self.etag:
            path.unlink(missing_ok=True)
            self.etag, self.encoding, self.complete = "", "", False

    @property
    def size_bytes(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def range_headers(self) -> dict[str, str]:
        """Headers that ask for the rest of the same version, or for everything."""
        rest = {"Range": f"bytes={self.size_bytes}-", "If-Range": self.etag} if self.size_bytes else {}
        return {"Accept-Encoding": "gzip"} | rest

    def answered(self, response: httpx.Response, url: str) -> None:
        """Take note of the head of an answer: either it continues, or the file begins anew.  Raises PriceError."""
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in {"", "identity", "gzip"}:
            raise PriceError(f"{url} sends the encoding {encoding}", hint="the price interface may have changed")
        goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {self.size_bytes}-")
        if response.status_code == 206 and goes_on:
            return
        self.path.unlink(missing_ok=True)
        if response.status_code == 206:
            raise PriceError(f"{url} continues at another place than asked", hint="run the command again")
        etag = response.headers.get("ETag", "").strip()
        self.etag, self.encoding = "" if etag.startswith("W/") else etag, encoding.replace("identity", "")
        self.save(complete=False)

    def save(self, *, complete: bool) -> None:
        """Keep the state; complete: nothing is missing."""
        self.complete = complete
        self._state.write_text(json_text([self.etag, self.encoding, complete]), encoding="utf-8")
