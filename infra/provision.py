"""The program: a plan in, a cluster with its pools out.

It runs in two ways, with the same result: `clusterctl up` hands `program` to Pulumi's Automation API, and people run
`pulumi up` in this folder.
"""

from __future__ import annotations

from pathlib import Path

import pulumi
from pulumi.errors import RunError

from infra.made import Made, outputs_of
from infra.node_fleet import Fleet, FleetSettings, fleet_of
from planners.plan.value import Plan


def program() -> None:
    """Provisions what the plan of the stack's configuration says, and exports the way in.

    Raises RunError, whose text is for people, where the plan can't be read or provisioned.
    """
    config = pulumi.Config("clusterctl")
    file = Path(config.require("plan"))
    try:
        plan = Plan.model_validate_json(file.read_bytes())
        fleet = fleet_of(plan, run=pulumi.get_stack(), settings=settings_of(config))
    except (OSError, ValueError) as error:
        raise RunError(f"{file} can't be provisioned: {error}") from error
    made = provision(fleet)
    if config.get_bool("inCluster", True):
        from infra.in_cluster import equip

        equip(fleet, made)
    for name, value in outputs_of(fleet, made).items():
        pulumi.export(name, value)


def settings_of(config: pulumi.Config) -> FleetSettings:
    """The keys of Pulumi.yaml.  Raises PlanError."""
    return FleetSettings(
        owner=config.get("owner", "none"),
        zone=config.get("zone", ""),
        nodes=config.get("nodes", "plan"),  # FleetSettings looks
        access_cidrs=tuple(config.get_object("accessCidrs", ())),
        subnets=tuple(config.get_object("subnets", ())),
        cluster=config.get("cluster", ""),
        bucket=config.get("bucket", ""),
        reservations=config.get_object("reservations", {}),
        token_command=tuple(config.get_object("tokenCommand", ())),
        images=tuple(config.get_object("images", ())),
    )


def provision(fleet: Fleet) -> Made:
    """Everything of a fleet.  Only the packages of its cloud are imported: each takes seconds."""
    if fleet.cloud == "aws":
        from infra.aws import provision as on_aws

        return on_aws(fleet)
    if fleet.cloud == "gcp":
        from infra.gcp import provision as on_gcp

        return on_gcp(fleet)
    if fleet.cloud == "azure":
        from infra.azure import provision as on_azure

        return on_azure(fleet)
    raise RunError(f"{fleet.cloud}: only aws, gcp and azure can be provisioned; other places exist already")
