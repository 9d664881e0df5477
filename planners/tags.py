"""The tags by which everything that we start is found without any state, as each place lets them be written.

On AWS and in Kubernetes `clusterctl.dev/run`; tags of Azure hold no slash, labels of Google Cloud neither dot, slash
nor capital: https://cloud.google.com/compute/docs/labeling-resources#requirements,
https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TAG_PREFIX = "clusterctl.dev"
LABEL_LETTERS = 63
"""Of a label's value on Google Cloud."""


def tag_key(cloud: str, name: str) -> str:
    """Key of the tag `run`, `owner`, `pool` … on a cloud."""
    if cloud == "gcp":
        return f"{TAG_PREFIX}/{name}".replace(".", "-").replace("/", "-")
    return f"{TAG_PREFIX}.{name}" if cloud == "azure" else f"{TAG_PREFIX}/{name}"


def tag_value(cloud: str, value: str) -> str:
    """A tag's value as the cloud can hold it; ids of runs and owners are the same everywhere."""
    return re.sub(r"[^a-z0-9_-]", "-", value.lower())[:LABEL_LETTERS] if cloud == "gcp" else value


def cloud_tags(cloud: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Tags by their short names, as the cloud wants them."""
    return {tag_key(cloud, name): tag_value(cloud, value) for name, value in tags.items()}


def description(tags: Mapping[str, str]) -> str:
    """Tags, by their keys, as the description of what can have neither tags nor labels: networks of Google Cloud."""
    return " ".join(f"{key}={value}" for key, value in tags.items())


def described(text: str) -> dict[str, str]:
    """The tags in such a description; none in any other text."""
    words = [word.partition("=") for word in text.split()]
    return {key: value for key, equals, value in words if equals and key.startswith(tag_key("gcp", ""))}
