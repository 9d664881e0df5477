"""Clients of AWS, and its refusals as errors for people."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from clusterctl.clouds.base import (
    CloudError,
    CloudUnreachable,
    CredentialsExpired,
    CredentialsMissing,
    InUse,
    NotAllowed,
)
from clusterctl.clouds.log_in import LOG_IN

MISSING = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "NoAuthTokenError"}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRetrievalError", "SSOTokenLoadError"}
EXPIRED |= {"UnauthorizedSSOTokenError", "CredentialRetrievalError"}
WRONG = {"InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "SignatureDoesNotMatch"}
WRONG |= {"InvalidAccessKeyId", "IncompleteSignature", "OptInRequired"}
"""What AWS says of credentials that it doesn't know, also in a region that the account has not enabled."""
DENIED = re.compile("AccessDenied|UnauthorizedOperation|NotAuthorized")
BUSY = re.compile("Throttl|TooManyRequests|RequestLimitExceeded|SlowDown|ServiceUnavailable|InternalError|Unavailable$")
IN_USE = re.compile("DependencyViolation|InUse|IncorrectState|DeleteConflict|BucketNotEmpty|IncorrectInstanceState")
GONE = re.compile(r"NotFound|NoSuch|ResourceNotFound|\.Unknown$|InvalidAllocationID|NatGatewayNotFound")
SETTINGS = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 5})
"""botocore waits and asks again where AWS says that too many ask."""


class AwsSession:
    """Clients by service and region.  Safe in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        with aws_errors():
            self._session = boto3.session.Session()

    @property
    def region(self) -> str:
        """The one that the user's settings name; where they name none, the first that AWS had."""
        return self._session.region_name or "us-east-1"

    def client(self, service: str, region: str = "") -> Any:  # Any: boto3 makes its clients while it runs
        """A client of one service."""
        place = (service, region or self.region)
        with self._lock, aws_errors():
            if place not in self._clients:
                self._clients[place] = self._session.client(service, region_name=place[1], config=SETTINGS)
            return self._clients[place]

    def pages(self, service: str, region: str, call: str, rows: str, **arguments: Any) -> Iterator[Any]:
        """All rows of a listing."""
        with aws_errors():
            for page in self.client(service, region).get_paginator(call).paginate(**arguments):
                yield from page.get(rows) or ()

    @staticmethod
    def call(act: Any, /, **arguments: Any) -> Any:
        """What AWS answers.  Raises CloudError."""
        with aws_errors():
            return act(**arguments)


@contextmanager
def aws_errors() -> Iterator[None]:
    """Whatever AWS refuses becomes a CloudError."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise cloud_error(error) from error


def code_of(error: BaseException | None) -> str:
    """AWS's own name of what is wrong."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__


def cloud_error(error: BotoCoreError | ClientError) -> CloudError:
    """What AWS said, as a kind that a caller tells apart."""
    code, text = code_of(error), f"AWS: {error}"
    if code in EXPIRED:
        return CredentialsExpired(text, hint=LOG_IN["aws"])
    if code in MISSING or code in WRONG:
        return CredentialsMissing(text, hint=LOG_IN["aws"])
    if DENIED.search(code):
        return NotAllowed(text, hint="whoever administers the account can allow it")
    if IN_USE.search(code):
        return InUse(text)
    if BUSY.search(code) or isinstance(error, BotoCoreError) or _status(error) >= 500:
        return CloudUnreachable(text, hint="try again in a minute")
    return CloudError(text)


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_gone(error: CloudError) -> bool:
    """Whether AWS refused because the thing is not there."""
    return bool(GONE.search(code_of(error.__cause__)))
