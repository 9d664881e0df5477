"""What a resource says of itself beside the run's tags: which of the program's it is, as most ids of AWS say nothing,
and whose it is where it can have no labels."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from planners.tags import TAG_PREFIX, description, tag_key

RESOURCE_TAG = f"{TAG_PREFIX}/resource"
DESCRIBED = {
    "gcp:compute/network:Network",
    "gcp:compute/subnetwork:Subnetwork",
    "gcp:compute/router:Router",
    "gcp:compute/firewall:Firewall",
    "gcp:serviceaccount/account:Account",
}
"""On Google Cloud these can have no labels; `sweep` reads whose they are in their description."""


def tag_of(kind: str, name: str) -> str:
    """Value of the tag: type and name in the program.  AWS keeps values that begin with `aws:` for itself."""
    return f"{kind.removeprefix('aws:')}::{name}"


def tag_each_resource() -> None:
    """Adds the tag to whatever can have tags, from now on."""
    pulumi.runtime.register_stack_transformation(_tagged)


def _tagged(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    if not args.type_.startswith("aws:") or "tags" not in args.props:
        return None
    own = {RESOURCE_TAG: tag_of(args.type_, args.name)}
    return pulumi.ResourceTransformationResult(
        props={**args.props, "tags": {**(args.props["tags"] or {}), **own}}, opts=args.opts
    )


def describe_each_resource(labels: Mapping[str, str]) -> None:
    """Writes the run and its owner into the description of whatever can have no labels, from now on."""
    own = {key: labels[key] for key in (tag_key("gcp", "run"), tag_key("gcp", "owner"))}

    def described(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if args.type_ not in DESCRIBED:
            return None
        return pulumi.ResourceTransformationResult(
            props={**args.props, "description": description(own)}, opts=args.opts
        )

    pulumi.runtime.register_stack_transformation(described)
