"""Which clouds this user has: nobody is asked, only settings and files are looked at."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from clusterctl.clouds import NAMES, cloud_of
from clusterctl.clouds.base import Cloud, NotAsked
from clusterctl.clouds.log_in import LOG_IN
from clusterctl.errors import ClusterctlError

TRACES: dict[str, tuple[tuple[str, ...], tuple[str, tuple[str, ...]]]] = {
    "aws": (
        (
            "AWS_ACCESS_KEY_ID",
            "AWS_PROFILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        ),
        (".aws", ("credentials", "config")),
    ),
    "gcp": (("GOOGLE_APPLICATION_CREDENTIALS",), (".config/gcloud", ("application_default_credentials.json",))),
    "azure": (("AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"), (".azure", ("azureProfile.json",))),
}
"""Variables and files from which each cloud's library takes credentials.  A machine of the cloud itself may have some
without any: there the cloud is named."""


def connected(names: Sequence[str] | None, known: Collection[str] = ()) -> tuple[Sequence[Cloud], Sequence[NotAsked]]:
    """The clouds to ask, and why each other one is not asked.

    names: those that a person named, which are asked whatever this machine knows of them; None = all with credentials.
    known: places where runs of this user were; a cloud among them is asked, too.
    """
    clouds: list[Cloud] = []
    left_out: list[NotAsked] = []
    for name in NAMES if names is None else names:
        if names is None and name not in known and not has_trace(name):
            reason = f"no credentials are found here: {LOG_IN[name]}"
            left_out.append(NotAsked(cloud=name, place="", reason=reason))
            continue
        try:
            clouds.append(cloud_of(name))
        except ClusterctlError as error:
            reason = f"{error.message}: {error.hint}" if error.hint else error.message
            left_out.append(NotAsked(cloud=name, place="", reason=reason))
    return clouds, left_out


def has_trace(name: str) -> bool:
    """Whether this machine may hold credentials for a cloud."""
    variables, (folder, files) = TRACES[name]
    if any(os.environ.get(variable) for variable in variables):
        return True
    try:
        home = Path.home()
    except RuntimeError:
        return False
    return any((home / folder / file).exists() for file in files)
