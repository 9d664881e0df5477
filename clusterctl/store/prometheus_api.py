"""Asking a Prometheus query API, or what answers as one: Mimir, Thanos, VictoriaMetrics.

`prometheus+https://USER@HOST/PREFIX?tenant=NAME`: the token, or that user's password, is in the environment variable
CLUSTERCTL_PROMETHEUS_TOKEN, or in the file that CLUSTERCTL_PROMETHEUS_TOKEN_FILE names, and in no message.
"""

from __future__ import annotations

import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

from clusterctl.access import read_token
from clusterctl.errors import SpecError
from clusterctl.store import series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clusterctl.store.series import PrometheusSeries

TOKEN, TOKEN_FILE = "CLUSTERCTL_PROMETHEUS_TOKEN", "CLUSTERCTL_PROMETHEUS_TOKEN_FILE"
URL_HINT = f"`prometheus+http://host:9090`; a token goes into {TOKEN} or the file that {TOKEN_FILE} names"
TIMEOUT_SECONDS = 20.0
MAX_ANSWER_BYTES = 512 * 2**20
WHOLE_TIMEOUTS = 3
"""An answer that comes byte by byte ends after so many time-outs."""
AT_ONCE = 4
"""Queries; Prometheus itself runs 20 at once by default (`--query.max-concurrency`)."""


class _NoAnswerError(Exception):
    """What went wrong with a query, as a person is told."""


class PrometheusApi:
    """A server.  Threads may share it."""

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """url: see above.  Raises SpecError for one that is none or holds a password, and for
        a token that can't be read."""
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        scheme = parts.scheme.removeprefix("prometheus+")
        if scheme not in {"http", "https"} or not parts.hostname or parts.password is not None:
            what = "holds a password" if parts.password is not None else "is none"
            raise SpecError(f"the URL of the Prometheus {what}", hint=URL_HINT)
        self.where = f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self._timeout_seconds, self._headers = timeout_seconds, {"User-Agent": "clusterctl"}
        self._auth: httpx.Auth | None = None
        file = os.environ.get(TOKEN_FILE)
        token = read_token(file) if file else os.environ.get(TOKEN)
        if parts.username is not None:
            self._auth = httpx.BasicAuth(unquote(parts.username), token or "")
        elif token:
            self._headers["Authorization"] = f"Bearer {token}"
        for tenant in parse_qs(parts.query).get("tenant", []):
            self._headers["X-Scope-OrgID"] = tenant
        self._problems: dict[str, tuple[str, ...]] = {}

    def problems(self, about: str | None = None) -> tuple[str, ...]:
        """What could not be answered when `ask` was last called, about this or everything."""
        found = self._problems.values() if about is None else [self._problems.get(about, ())]
        return tuple(dict.fromkeys(text for texts in found for text in texts))

    def ask(self, about: str, forms: Mapping[str, Mapping[str, str]]) -> dict[str, list[PrometheusSeries]]:
        """The answers, by name; none for what could not be answered, which becomes a problem about this.

        forms: what the API takes, of a range query if it has a step.
        """
        found_problems: dict[str, None] = {}

        def answer(form: Mapping[str, str]) -> list[PrometheusSeries]:
            try:
                return self._one(client, form, found_problems)
            except _NoAnswerError as error:
                found_problems.setdefault(f"{self.where} {error}")
                return []

        with (
            httpx.Client(
                auth=self._auth, headers=self._headers, timeout=self._timeout_seconds, trust_env=False
            ) as client,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            answers = dict(zip(forms, pool.map(answer, forms.values()), strict=True))
        self._problems[about] = tuple(found_problems)
        return answers

    def _one(
        self, client: httpx.Client, form: Mapping[str, str], found_problems: dict[str, None]
    ) -> list[PrometheusSeries]:
        url = f"{self.where}/api/v1/{'query_range' if 'step' in form else 'query'}"
        content, deadline = bytearray(), time.monotonic() + WHOLE_TIMEOUTS * self._timeout_seconds
        try:
            with client.stream("POST", url, data=dict(form)) as response:
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        most = f"{MAX_ANSWER_BYTES >> 20} MiB"
                        raise _NoAnswerError(f"answers with more than {most}: ask for a shorter time or a longer step")
                    if time.monotonic() > deadline:
                        raise _NoAnswerError("does not end its answer in time")
        except httpx.TimeoutException as error:
            raise _NoAnswerError("does not answer in time") from error
        except httpx.HTTPError as error:
            reason = re.sub(r"\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
            raise _NoAnswerError(f"does not answer: {reason}") from error
        try:
            answer = json.loads(content)
            if answer["status"] == "success":
                found_problems |= dict.fromkeys(
                    f"{self.where} warns: {text}"[:300] for text in answer.get("warnings") or ()
                )
                return series.parse(answer["data"])
            why = f" {answer.get('errorType')}: {answer['error']}"[:200]
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
            if response.is_success:
                raise _NoAnswerError("answers, but not as a Prometheus does") from error
            why = ""
        raise _NoAnswerError(f"refuses: {response.status_code} {response.reason_phrase}{why}")
