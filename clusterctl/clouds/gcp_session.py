"""Clients of Google Cloud, and its refusals as errors for people.

Compute Engine is asked through google-cloud-compute; GKE, Cloud Storage and quotas by their REST interfaces with the
same credentials, which saves three more libraries.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import google.auth
from google.api_core import exceptions as api
from google.api_core.retry import Retry, if_exception_type
from google.auth import exceptions as auth
from google.auth.transport.requests import AuthorizedSession
from requests.exceptions import RequestException

from clusterctl.clouds.base import (
    CloudError,
    CloudUnreachable,
    CredentialsExpired,
    CredentialsMissing,
    InUse,
    NotAllowed,
)
from clusterctl.clouds.log_in import LOG_IN

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ENDPOINT_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_"
"""With a service's name behind it, as gcloud has it: another address of the service."""
BUSY = (api.TooManyRequests, api.ServiceUnavailable, api.InternalServerError, api.BadGateway, api.GatewayTimeout)
BOUND_SECONDS, CALL_SECONDS = 60.0, 20.0
AGAIN = Retry(if_exception_type(*BUSY), initial=0.5, maximum=8.0, timeout=BOUND_SECONDS)
"""Waits longer each time while Google says that too many ask, or that it has trouble itself."""
IN_USE = re.compile(
    "resourceInUse|RESOURCE_IN_USE|resourceNotReady|incompatible operation|FAILED_PRECONDITION|not empty|being used by"
)


class GoogleSession:
    """Credentials, the project, and clients by name."""

    def __init__(self) -> None:
        logging.getLogger("google.auth").setLevel(logging.ERROR)  # its error says all of it
        with google_errors():
            self.credentials, project = google.auth.default(scopes=[SCOPE])
        self.project = str(project or os.environ.get("GOOGLE_CLOUD_PROJECT") or "")
        if not self.project:
            raise CredentialsMissing(
                "Google Cloud: no project is chosen",
                hint="gcloud config set project NAME, or GOOGLE_CLOUD_PROJECT=NAME",
            )
        self._rest = AuthorizedSession(self.credentials)
        self._clients: dict[str, Any] = {}

    def compute(self, name: str) -> Any:  # Any: proto-plus has no types
        """A client of Compute Engine: `Instances`, `Disks` …"""
        if name not in self._clients:
            from google.cloud import compute_v1

            address = os.environ.get(f"{ENDPOINT_VARIABLE}COMPUTE", "")
            options = {"api_endpoint": address.rstrip("/").removesuffix("/compute/v1")} if address else None
            kind = getattr(compute_v1, f"{name}Client")
            self._clients[name] = kind(credentials=self.credentials, client_options=options)
        return self._clients[name]

    @staticmethod
    def call(act: Any, **arguments: Any) -> Any:
        """What Compute Engine answers.  Raises CloudError."""
        with google_errors():
            return act(request=arguments, retry=AGAIN, timeout=CALL_SECONDS)

    @staticmethod
    def rows(act: Any, **arguments: Any) -> Iterator[Any]:
        """All rows of a listing of Compute Engine; each page is asked for when it is needed."""
        with google_errors():
            yield from act(request=arguments, retry=AGAIN, timeout=CALL_SECONDS)

    def rest(
        self,
        method: str,
        service: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """What another service answers.  Raises CloudError."""
        host = os.environ.get(f"{ENDPOINT_VARIABLE}{service.upper()}") or f"https://{service}.googleapis.com/"

        def once() -> Any:
            said = self._rest.request(
                method, f"{host.rstrip('/')}/{path}", json=body, params=query, timeout=CALL_SECONDS
            )
            if said.status_code >= 400:
                raise api.from_http_response(said)
            return said.json() if said.content else {}

        with google_errors():
            return AGAIN(once)()

    def rest_pages(self, service: str, path: str, rows: str, **query: str) -> Iterator[Any]:
        """All rows of a listing."""
        token = ""
        while True:
            said = self.rest("GET", service, path, query=query | ({"pageToken": token} if token else {}))
            yield from said.get(rows) or ()
            token = said.get("nextPageToken", "")
            if not token:
                return


@contextmanager
def google_errors() -> Iterator[None]:
    """Whatever Google refuses becomes a CloudError."""
    try:
        yield
    except (api.GoogleAPIError, auth.GoogleAuthError, RequestException) as error:
        raise cloud_error(error) from error


def cloud_error(error: Exception) -> CloudError:
    """What Google said, as a kind that a caller tells apart."""
    text = f"Google Cloud: {getattr(error, 'message', '') or error}"
    if isinstance(error, auth.RefreshError | api.Unauthorized):
        return CredentialsExpired(text, hint=LOG_IN["gcp"])
    if isinstance(error, auth.DefaultCredentialsError):
        return CredentialsMissing(text, hint=LOG_IN["gcp"])
    if isinstance(error, api.Forbidden):
        return NotAllowed(text, hint="whoever administers the project can allow it, or enable the service")
    if isinstance(error, api.Conflict | api.PreconditionFailed) or IN_USE.search(text):
        return InUse(text)
    if isinstance(error, (api.RetryError, RequestException, auth.TransportError, *BUSY)):
        return CloudUnreachable(text, hint="try again in a minute")
    return CloudError(text)


def is_gone(error: CloudError) -> bool:
    """Whether Google refused because the thing is not there."""
    return isinstance(error.__cause__, api.NotFound)
