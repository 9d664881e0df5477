"""A file that is being downloaded: what is there, which version it is, and how to ask for the rest."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx

from clusterctl.errors import PriceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The state of a download, kept beside the file so that another run can continue it."""

    path: str
    etag: str = ""
    """Strong validator of the version that is being read; "" when the server gives none."""
    encoding: str = ""
    complete: bool = False

    @classmethod
    def of(cls, path: Path) -> Part:
        """What is on disk; a file without readable state, or of no known version, is begun anew."""
        try:
            state = json.loads(_state_path(path).read_text(encoding="utf-8"))
            part = cls(path=str(path), **state)
        except (OSError, ValueError, TypeError):
            part = cls(path=str(path))
        if not path.is_file() or not part.etag:
            path.unlink(missing_ok=True)
            return cls(path=str(path))
        return part

    @property
    def size_bytes(self) -> int:
        """Bytes that are there."""
        path = Path(self.path)
        return path.stat().st_size if path.is_file() else 0

    def range_headers(self) -> dict[str, str]:
        """Headers that ask for the rest of the same version, or for everything."""
        size = self.size_bytes
        accept = {"Accept-Encoding": "gzip"}
        return {**accept, "Range": f"bytes={size}-", "If-Range": self.etag} if size else accept

    def answered(self, response: httpx.Response, url: str) -> Part:
        """The state after the head of an answer: either it continues, or the file begins anew."""
        path = Path(self.path)
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in {"", "identity", "gzip"}:
            raise PriceError(f"{url} sends the encoding {encoding}", hint="the price interface may have changed")
        if response.status_code == 206:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {self.size_bytes}-"):
                path.unlink(missing_ok=True)
                raise PriceError(f"{url} continues at another place than asked", hint="run the command again")
            return self
        path.unlink(missing_ok=True)
        etag = response.headers.get("ETag", "").strip()
        part = replace(self, etag="" if etag.startswith("W/") else etag, encoding=encoding.replace("identity", ""))
        part._save()
        return part

    def finished(self) -> None:
        """Note that nothing is missing."""
        replace(self, complete=True)._save()

    def _save(self) -> None:
        state = {name: value for name, value in asdict(self).items() if name != "path"}
        _state_path(Path(self.path)).write_text(json.dumps(state), encoding="utf-8")


def _state_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.state")
