"""Where each cloud's price interface is.  A base URL can be overridden, but never to a plain-text host elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

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
