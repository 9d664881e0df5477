"""Regions that an ordinary account cannot simply use: by approval, opt-in, or for governments.

Written from the clouds' documentation as remembered, not re-read ("AWS Regions that must be enabled", "Azure restricted
access regions"); a spec that names a region under `fleet.regions` uses it whatever this list says.
"""

from __future__ import annotations

RESTRICTED: dict[str, tuple[str, ...]] = {
    "aws": (
        "af-south-1", "ap-east-*", "ap-south-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6",
        "ap-southeast-7", "ca-west-1", "cn-*", "eu-central-2", "eu-south-*", "il-central-1", "me-*", "mx-central-1",
        "us-gov-*", "us-iso*",
    ),
    "gcp": ("me-central2",),
    "azure": (
        "australiacentral2", "brazilsoutheast", "china*", "francesouth", "germanynorth", "jioindia*", "norwaywest",
        "southafricawest", "switzerlandwest", "uaecentral", "usdod*", "usgov*", "us-gov*", "us-dod*", "westindia",
    ),
}  # fmt: skip
"""Cloud -> shell patterns of regions."""
