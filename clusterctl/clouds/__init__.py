"""What is asked of AWS, Google Cloud and Azure themselves, without Pulumi and its state: who pays, what is ours there,
which machines are paid, how large a pool is, and what the account may have.

One interface (`base`), one set of modules for each cloud; their libraries are the extras `aws`, `gcp` and `azure`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from clusterctl.errors import ClusterctlError, SpecError

if TYPE_CHECKING:
    from clusterctl.clouds.base import Cloud

NAMES = ("aws", "gcp", "azure")


def cloud_of(name: str) -> Cloud:
    """The cloud of this name.  Nothing is asked of it yet.

    Raises ClusterctlError where its library is not installed, SpecError for a name that is none of NAMES.
    """
    if name not in NAMES:
        raise SpecError(f"no cloud is called `{name}`", hint=f"the clouds are {', '.join(NAMES)}")
    try:
        connected: Cloud = import_module(f"clusterctl.clouds.{name}").connect()
    except ImportError as error:
        raise ClusterctlError(
            f"{name} can't be asked: {error}", hint=f"pip install 'clusterctl[{name}]' brings its library"
        ) from error
    return connected
