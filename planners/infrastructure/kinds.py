"""What a type of the engine is: its cloud, and its name in our tables."""

from __future__ import annotations

import re
from functools import cache

CLOUDS = {"aws": "aws", "gcp": "gcp", "azure": "azure", "azure-native": "azure", "kubernetes": "kubernetes"}
"""Package of the engine → cloud."""
_MODULES = {
    "aws:alb": "lb",
    "aws:applicationloadbalancing": "lb",
    "aws:elasticloadbalancingv2": "lb",
    "aws:elasticloadbalancing": "elb",
    "azure:managedkubernetes": "containerservice",
}
"""Older names of modules that hold the same types."""
_ZONE = re.compile(r"^[a-z]+-[a-z]+\d+-[a-z]$")
_AWS_ZONE = re.compile(r"^([a-z]{2}(?:-[a-z]+)+-\d)[a-z]$")


@cache
def package_of(type_token: str) -> str:
    """`aws` of `aws:ec2/instance:Instance`; a package for one version of azure-native counts as azure-native."""
    package = type_token.partition(":")[0]
    return "azure-native" if package.startswith("azure-native") else package


@cache
def cloud_of(type_token: str) -> str:
    """Empty for a type of none of the four."""
    return CLOUDS.get(package_of(type_token), "")


@cache
def kind_of(type_token: str) -> str:
    """`ec2:instance` of `aws:ec2/instance:Instance`, `compute:virtualmachine` of
    `azure-native:compute/v20230301:VirtualMachine`, `core/v1:service` of `kubernetes:core/v1:Service`."""
    package, _, rest = type_token.partition(":")
    module, _, name = rest.rpartition(":")
    if package != "kubernetes":
        module = module.partition("/")[0]
    module = _MODULES.get(f"{package}:{module}", module).lower()
    name = name.lower()
    if package == "aws" and module == "s3":
        name = re.sub(r"v\d$", "", name)
    return f"{module}:{name}"


def region_of_place(cloud: str, place: str) -> str:
    """The region of a region, zone or Azure display name (`us-central1-a`, `us-east-1b`, `West Europe`)."""
    if cloud == "gcp":
        place = place.rpartition("/")[2]
        return place.rpartition("-")[0] if _ZONE.match(place) else place.lower()
    if cloud == "aws":
        zone = _AWS_ZONE.match(place)
        return zone.group(1) if zone else place
    if cloud == "azure":
        return place.replace(" ", "").lower()
    return place


def is_zone(place: str) -> bool:
    """Whether a place of Google is a zone."""
    return bool(_ZONE.match(place.rpartition("/")[2]))


def names(text: str) -> frozenset[str]:
    """The words of a text, as a set: a table of names that is read as lines."""
    return frozenset(text.split())
