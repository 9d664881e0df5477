"""The resource manager of Azure, through the pipeline of azure-mgmt-compute's client: it logs in, waits where Azure
asks to (429, Retry-After), and tries again what failed on the way.  Refusals become errors for people."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.rest import HttpRequest
from azure.identity import CredentialUnavailableError, DefaultAzureCredential
from azure.mgmt.compute import ComputeManagementClient

from clusterctl.clouds.base import (
    CloudError,
    CloudUnreachable,
    CredentialsExpired,
    CredentialsMissing,
    InUse,
    NotAllowed,
)
from clusterctl.clouds.log_in import LOG_IN

ENDPOINT_VARIABLE, PUBLIC = "CLUSTERCTL_AZURE_ENDPOINT", "https://management.azure.com"
"""Another resource manager: of a sovereign cloud, or of a test."""
SUBSCRIPTION_VARIABLE = "AZURE_SUBSCRIPTION_ID"
IN_USE = re.compile("InUse|OperationNotAllowed|Conflict|AnotherOperationInProgress|CannotBeDeleted|NotEmpty")
TRIES, CALL_SECONDS = 4, 20
SUBSCRIPTIONS_VERSION = "2022-12-01"


class AzureSession:
    """One subscription."""

    def __init__(self) -> None:
        self.base = os.environ.get(ENDPOINT_VARIABLE, PUBLIC).rstrip("/")
        self._options: dict[str, Any] = {} if self.base.startswith("https") else {"enforce_https": False}
        logging.getLogger("azure.identity").setLevel(logging.ERROR)  # what it tried, it says on ten lines
        credential = DefaultAzureCredential(exclude_interactive_browser_credential=True)
        self.subscription = ""
        self.client = self._client(credential, "none")
        self.subscription = os.environ.get(SUBSCRIPTION_VARIABLE) or _of_az() or self._only_one()
        self.client = self._client(credential, self.subscription)

    def _client(self, credential: Any, subscription: str) -> Any:  # Any: its types differ from version to version
        return ComputeManagementClient(
            credential,
            subscription,
            base_url=self.base,
            credential_scopes=[f"{PUBLIC}/.default"],
            retry_total=TRIES,
            connection_timeout=5,
            read_timeout=CALL_SECONDS,
        )

    def _only_one(self) -> str:
        rows = list(self.pages("/subscriptions", SUBSCRIPTIONS_VERSION))
        if len(rows) != 1:
            names = ", ".join(row["subscriptionId"] for row in rows) or "none"
            hint = f"az account set --subscription NAME, or {SUBSCRIPTION_VARIABLE}=ID: {names}"
            raise CredentialsMissing("Azure: no subscription is chosen", hint=hint)
        return str(rows[0]["subscriptionId"])

    def ask(self, method: str, path: str, version: str, *, body: Any = None, query: str = "") -> Any:
        """What the resource manager answers.  path: below the endpoint, or all of a `nextLink`.  Raises CloudError."""
        url = path if path.startswith("http") else f"{self.base}{path}?api-version={version}{query}"
        with azure_errors():
            said = self.client.send_request(HttpRequest(method, url, json=body), **self._options)
            if said.status_code >= 400:
                raise HttpResponseError(response=said)
            text = said.text()
        return json.loads(text) if text else {}

    def pages(self, path: str, version: str, *, query: str = "") -> Iterator[Mapping[str, Any]]:
        """All rows of a listing."""
        link = path
        while link:
            said = self.ask("GET", link, version, query=query)
            yield from said.get("value") or ()
            link = said.get("nextLink") or ""

    @property
    def root(self) -> str:
        """Path of the subscription."""
        return f"/subscriptions/{self.subscription}"

    def usages(self, region: str) -> list[Any]:
        """What the subscription may have and has of Microsoft.Compute in a region."""
        with azure_errors():
            return list(self.client.usage.list(region, **self._options))

    def skus(self, region: str) -> list[Any]:
        """Machines that a region has, with their families."""
        with azure_errors():
            return list(self.client.resource_skus.list(filter=f"location eq '{region}'", **self._options))


def _of_az() -> str:
    """The subscription that `az account set` has chosen; empty where nothing says."""
    try:
        file = Path.home() / ".azure" / "azureProfile.json"
        said = json.loads(file.read_text("utf-8-sig"))
        return next((str(row["id"]) for row in said["subscriptions"] if row.get("isDefault")), "")
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return ""


@contextmanager
def azure_errors() -> Iterator[None]:
    """Whatever Azure refuses becomes a CloudError."""
    try:
        yield
    except AzureError as error:
        raise cloud_error(error) from error


def cloud_error(error: AzureError) -> CloudError:
    """What Azure said, as a kind that a caller tells apart."""
    status = getattr(error, "status_code", None) or 0
    inner = getattr(error, "error", None)
    code = str(getattr(inner, "code", "") or "")
    text = f"Azure: {code + ': ' if code else ''}{getattr(inner, 'message', '') or error.message}"
    if isinstance(error, CredentialUnavailableError) or "failed to retrieve a token" in text:
        return CredentialsMissing(text.partition("\n")[0], hint=LOG_IN["azure"])
    if isinstance(error, ClientAuthenticationError) or status == 401:
        return CredentialsExpired(text.partition("\n")[0], hint=LOG_IN["azure"])
    if status == 403:
        return NotAllowed(text, hint="whoever administers the subscription can allow it")
    if status == 409 or IN_USE.search(code):
        return InUse(text)
    if status == 429 or status >= 500 or not status:
        return CloudUnreachable(text, hint="try again in a minute")
    return CloudError(text)


def is_gone(error: CloudError) -> bool:
    """Whether Azure refused because the thing is not there."""
    return getattr(error.__cause__, "status_code", 0) == 404
