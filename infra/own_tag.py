"""A tag on every resource that says which of the program's resources it is: most ids of AWS say nothing."""

from __future__ import annotations

import pulumi

from planners.tags import TAG_PREFIX

RESOURCE_TAG = f"{TAG_PREFIX}/resource"


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
