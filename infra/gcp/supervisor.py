"""What the run's supervisor may do from within the cluster: resize this cluster's pools and see their machines."""

from __future__ import annotations

import re

import pulumi
import pulumi_gcp as gcp

from infra.gcp.gke import Gke, Project
from infra.node_fleet import JOBS, SUPERVISOR, Fleet

RESIZE = ("container.clusters.get", "container.clusters.update")
"""https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters.nodePools/setSize"""
LOOK = (
    "compute.instanceGroupManagers.get",
    "compute.instanceGroupManagers.list",
    "compute.instances.get",
    "compute.instances.list",
    "container.operations.get",
    "container.operations.list",
)
"""Google knows no right to list the machines of one cluster alone."""


def let_supervisor_resize(fleet: Fleet, gke: Gke, project: Project, options: pulumi.ResourceOptions) -> None:
    """Gives the supervisor's pods these rights, and no others: the first on this cluster alone."""
    this = pulumi.Output.all(gke.zone, gke.name).apply(
        lambda found: f'resource.name.endsWith("/locations/{found[0]}/clusters/{found[1]}")'
    )
    only = gcp.projects.IAMMemberConditionArgs(title="this cluster", expression=this)
    for what, rights, condition in (("resize", RESIZE, only), ("look", LOOK, None)):
        role = gcp.projects.IAMCustomRole(
            f"supervisor-{what}",
            role_id=re.sub(r"[^A-Za-z0-9]", "_", f"clusterctl_{fleet.run}_{what}")[-64:],
            title=f"clusterctl {fleet.run}: {what}",
            permissions=rights,
            opts=options,
        )
        gcp.projects.IAMMember(
            f"supervisor-{what}",
            project=project.project_id,
            role=role.name,
            member=pods_of(fleet, project, SUPERVISOR),
            condition=condition,
            opts=options,
        )


def pods_of(fleet: Fleet, project: Project, service_account: str = JOBS) -> pulumi.Output[str]:
    """The pods of a service account, as workload identity federation names them: no node, and no key."""
    return pulumi.Output.format(
        "principal://iam.googleapis.com/projects/{0}/locations/global/workloadIdentityPools/{1}.svc.id.goog"
        f"/subject/ns/{fleet.name_in_cluster}/sa/{service_account}",
        project.number,
        project.project_id,
    )
