"""Where each cloud's price interface is.  A base URL can be overridden, but never to a plain-text host elsewhere.

A file that is being downloaded: what is there, which version it is, and how to ask for the rest.

One way to read from a price interface: bounded, retried, resumable.  Knows no cloud's format.

A failure that may pass (cut connection, 429, 5xx, a page that isn't JSON) is tried again with growing pauses, or the
pause that `Retry-After` asks for.  Whatever fails for good is a PriceError.  Redirects are never followed, so a key
goes to its own endpoint only; messages name scheme, host and path, never query or headers.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from clusterctl.errors import PriceError

BASE_URLS = {
    "aws": "https://pricing.us-east-1.amazonaws.com",
    "azure": "https://prices.azure.com",
    "gcp": "https://cloudbilling.googleapis.com",
}
OVERRIDES = {cloud: f"CLUSTERCTL_{cloud.upper()}_PRICES_URL" for cloud in BASE_URLS}
"""Environment variable that replaces the base URL of a cloud: a mirror, or a test server."""
KEY_VARIABLE = "GOOGLE_API_KEY"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A base URL without trailing slash, and the headers to send there and nowhere else."""

    cloud: str
    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Not in the repr: may hold a key."""

    def url(self, path: str) -> str:
        """A path below the base URL."""
        return f"{self.base_url}{path}"

    def same_origin(self, url: str) -> bool:
        """Whether `url` leads to this endpoint's scheme, host and port."""
        return _origin(url) == _origin(self.base_url)


def endpoint(cloud: str, environ: Mapping[str, str] | None = None) -> Endpoint:
    """The endpoint of a cloud.  Raises PriceError for an unusable override or an absent key."""
    environ = os.environ if environ is None else environ
    base_url = (environ.get(OVERRIDES[cloud]) or BASE_URLS[cloud]).rstrip("/")
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise PriceError(f"{OVERRIDES[cloud]} is not a URL: {base_url}") from error
    del port  # reading it is the test that it is a number
    if not host or parts.query or parts.fragment or parts.username is not None:
        raise PriceError(f"{OVERRIDES[cloud]} is not a base URL: scheme, host, maybe port and path, nothing else")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        raise PriceError(
            f"{OVERRIDES[cloud]} must start with https://",
            hint="plain http is accepted for this machine only (127.0.0.1)",
        )
    headers: dict[str, str] = {}
    if cloud == "gcp":
        key = environ.get(KEY_VARIABLE, "").strip()
        if not key or not key.isascii() or not key.isprintable():
            raise PriceError(
                f"Google Cloud's price list needs an API key in {KEY_VARIABLE}",
                hint="make one that may call the Cloud Billing API, or leave gcp out: --cloud aws,azure",
            )
        headers["X-Goog-Api-Key"] = key
    return Endpoint(cloud=cloud, base_url=base_url, headers=headers)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", None, None


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


T = TypeVar("T")

ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 1
LONGEST_PAUSE_SECONDS = 60
LONGEST_RETRY_AFTER_SECONDS = 300
MAX_PAGE_BYTES = 64 * 2**20
MAX_FILE_BYTES = 4 * 2**30
MAX_RESUMES = 1000
"""Continuations of one download that each brought something: enough for a bad line, finite for a bad server."""
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
PAGE_SECONDS = 300.0
CHUNK_BYTES = 2**16
PASSING = {408, 425, 429, 500, 502, 503, 504}
RERUN = "run the command again: it continues with the pages it has"


class Passing(Exception):  # noqa: N818 - a condition, not always an error
    """A failure that may pass."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Transport:
    """Reads pages and files of one endpoint.  `sleep` is an argument so that tests need not wait."""

    def __init__(self, endpoint: Endpoint, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.endpoint = endpoint
        self._sleep = sleep
        self._client = httpx.Client(timeout=TIMEOUT, follow_redirects=False, headers={"User-Agent": "clusterctl"})

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def page(self, url: str, params: Mapping[str, str] | None = None) -> object:
        """The JSON value at `url`.  Raises PriceError."""
        return self._retried(url, lambda: self._page_once(url, params))

    def download(self, url: str, to: Path) -> str:
        """The bytes of `url` as sent, in the file `to`; returns their content encoding ("" or "gzip").

        A file begun earlier is continued by a range request, if the server still has the same version of it.
        """
        for _ in range(MAX_RESUMES):
            encoding = self._retried(url, lambda: self._continue(url, to))
            if encoding is not None:
                return encoding
        raise PriceError(f"{self.endpoint.cloud}: {_named(url)} was cut {MAX_RESUMES} times", hint=RERUN)

    def _retried(self, url: str, once: Callable[[], T]) -> T:
        retrying = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=_pause_seconds,
            retry=retry_if_exception_type(Passing),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(once)
        except Passing as error:
            raise PriceError(
                f"{self.endpoint.cloud}: {_named(url)}: {error}, {ATTEMPTS} times in a row", hint=RERUN
            ) from error

    def _page_once(self, url: str, params: Mapping[str, str] | None) -> object:
        with self._get(url, params=params) as response:
            body = b"".join(_limited(response.iter_bytes(CHUNK_BYTES), MAX_PAGE_BYTES, url))
        try:
            return json.loads(body, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            start = body[:40].decode("utf-8", "replace").strip()
            raise Passing(f"the page is not JSON (it starts with {start!r})") from error

    def _continue(self, url: str, to: Path) -> str | None:
        """One request for what `to` still lacks.  None: cut after it brought something; ask again."""
        part = Part.of(to)
        if part.complete:
            return part.encoding
        received = 0
        try:
            with self._get(url, headers=part.range_headers()) as response:
                part = part.answered(response, url)
                with to.open("ab") as file:
                    for chunk in _limited(response.iter_raw(), MAX_FILE_BYTES, url, seconds=None):
                        received += file.write(chunk)
        except Passing:
            if received and part.etag:
                return None
            raise
        part.finished()
        return part.encoding

    @contextmanager
    def _get(
        self, url: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """A response whose status is success.  Raises Passing or PriceError."""
        sent = {**self.endpoint.headers, **(headers or {})}
        try:
            with self._client.stream("GET", url, params=params or None, headers=sent) as response:
                _accept(response, url, self.endpoint.cloud)
                yield response
        except httpx.TransportError as error:
            raise Passing(f"the connection failed ({type(error).__name__})") from error
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            raise Passing(f"the answer can't be decoded ({type(error).__name__})") from error


def _accept(response: httpx.Response, url: str, cloud: str) -> None:
    status = response.status_code
    if status in PASSING:
        raise Passing(f"HTTP {status}", retry_after_seconds=_retry_after_seconds(response, url, cloud))
    if status in {401, 403}:
        raise PriceError(
            f"{cloud}: {_named(url)} refuses (HTTP {status})", hint="check the API key and what it may call"
        )
    if status not in {200, 206}:
        raise PriceError(f"{cloud}: {_named(url)} answers HTTP {status}", hint="the price interface may have moved")


def _retry_after_seconds(response: httpx.Response, url: str, cloud: str) -> float | None:
    """What Retry-After asks for, as seconds from now; PriceError when it is longer than we wait."""
    text = response.headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal():
        seconds = float(text)
    else:
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    if seconds > LONGEST_RETRY_AFTER_SECONDS:
        raise PriceError(f"{cloud}: {_named(url)} asks to wait {seconds:.0f} s", hint=f"wait, then {RERUN}")
    return max(seconds, 0.0)


def _pause_seconds(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, Passing) and error.retry_after_seconds is not None:
        return error.retry_after_seconds
    return wait_exponential_jitter(initial=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS)(state)


def _limited(chunks: Iterator[bytes], most: int, url: str, *, seconds: float | None = PAGE_SECONDS) -> Iterator[bytes]:
    """The chunks, until they are more than `most` bytes or take longer than `seconds`."""
    size, started = 0, time.monotonic()
    for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise PriceError(
                f"{_named(url)} sends more than {most:,} bytes", hint="the price interface may have changed"
            )
        if seconds is not None and time.monotonic() - started > seconds:
            raise Passing(f"the page took more than {seconds:.0f} s")
        yield chunk


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _named(url: str) -> str:
    """The URL as far as it may be printed: no query."""
    return url.partition("?")[0]
