"""What the run's supervisor may do from within the cluster: resize the fleet's pools and see their machines."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_azure_native import authorization, managedidentity

from infra.azure.agent_pools import AgentPool
from infra.azure.aks import Aks
from infra.azure.rights import READER, built_in, identity_of_pods, may, subscription_of
from infra.node_fleet import SUPERVISOR, Fleet

RESIZE = (
    "Microsoft.ContainerService/managedClusters/agentPools/read",
    "Microsoft.ContainerService/managedClusters/agentPools/write",
)
"""Azure knows no smaller right than to write a pool: https://learn.microsoft.com/azure/role-based-access-control/permissions"""


def let_supervisor_resize(
    fleet: Fleet, aks: Aks, pools: Mapping[str, AgentPool], *, group: pulumi.Input[str], options: pulumi.ResourceOptions
) -> managedidentity.UserAssignedIdentity:
    """Gives the supervisor's pods these rights on these pools, reading of their machines, and no others."""
    here = {"group": group, "issuer_url": aks.issuer_url, "options": options}
    identity = identity_of_pods("supervisor", SUPERVISOR, fleet=fleet, **here)
    home = pulumi.Output.format("/subscriptions/{0}/resourceGroups/{1}", subscription_of(), aks.group)
    role = authorization.RoleDefinition(
        "supervisor",
        role_name=f"clusterctl {fleet.run}: resize pools",
        scope=home,
        assignable_scopes=[home],
        permissions=[authorization.PermissionArgs(actions=RESIZE)],
        opts=options,
    )
    for name, pool in pools.items():
        may(f"supervisor-{name}", identity, role.id, pool.id, options)
    machines = pulumi.Output.format("/subscriptions/{0}/resourceGroups/{1}", subscription_of(), aks.nodes_group)
    may("supervisor-machines", identity, built_in(READER), machines, options)
    return identity
