"""The AKS cluster: private nodes, no local accounts, its endpoint open to nobody but who is named."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import authorization, containerservice, managedidentity, resources

from infra.azure.rights import built_in, may
from infra.node_fleet import SYSTEM, Fleet, PlanError
from planners.plan.unit_prices import SYSTEM_NODE_TYPES

NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"
"""Azure's own role: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles"""
POD_CIDR, SERVICE_CIDR, DNS_ADDRESS = "10.128.0.0/10", "10.65.0.0/16", "10.65.0.10"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aks:
    """A cluster to which pools are added."""

    name: pulumi.Output[str]
    id: pulumi.Output[str]
    group: pulumi.Input[str]
    """Its resource group."""
    nodes_group: pulumi.Output[str]
    """The resource group that AKS makes for its machines."""
    issuer_url: pulumi.Output[str]
    subnet_id: pulumi.Input[str]
    """Of the nodes."""


def existing_cluster(resource_id: str) -> Aks:
    """A cluster that is there; new pools join the subnet of its first.

    Raises PlanError where the text is no id.
    """
    found = re.search(r"/resourceGroups/([^/]+)/providers/[^/]+/managedClusters/([^/]+)$", resource_id)
    if found is None:
        raise PlanError(f"clusterctl:cluster: {resource_id} is no id of an AKS cluster (az aks show --query id)")
    cluster = containerservice.get_managed_cluster_output(resource_group_name=found[1], resource_name=found[2])
    return Aks(
        name=cluster.name,
        id=cluster.id,
        group=found[1],
        nodes_group=cluster.node_resource_group,
        issuer_url=cluster.oidc_issuer_profile.issuer_url,
        subnet_id=cluster.agent_pool_profiles[0].vnet_subnet_id,
    )


class AksCluster(pulumi.ComponentResource):
    """The control plane, with one small node for what no pool of the plan runs."""

    def __init__(
        self,
        name: str,
        *,
        fleet: Fleet,
        group: resources.ResourceGroup,
        subnet_id: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("clusterctl:azure:Cluster", name, opts=opts)
        child, cidrs = pulumi.ResourceOptions(parent=self), list(fleet.settings.access_cidrs)
        identity, may_join = identity_in_network(fleet, group, subnet_id, child)
        cluster = containerservice.ManagedCluster(
            name,
            resource_group_name=group.name,
            dns_prefix=name[:40],
            identity=containerservice.ManagedClusterIdentityArgs(
                type=containerservice.ResourceIdentityType.USER_ASSIGNED, user_assigned_identities=[identity.id]
            ),
            disable_local_accounts=True,
            aad_profile=containerservice.ManagedClusterAADProfileArgs(managed=True, enable_azure_rbac=True),
            enable_rbac=True,
            api_server_access_profile=containerservice.ManagedClusterAPIServerAccessProfileArgs(
                enable_private_cluster=not cidrs, authorized_ip_ranges=cidrs or None
            ),
            network_profile=containerservice.ContainerServiceNetworkProfileArgs(
                network_plugin="azure",
                network_plugin_mode="overlay",
                network_dataplane="cilium",
                network_policy="cilium",  # network policies are enforced
                outbound_type="userAssignedNATGateway",
                pod_cidr=POD_CIDR,
                service_cidr=SERVICE_CIDR,
                dns_service_ip=DNS_ADDRESS,
            ),
            oidc_issuer_profile=containerservice.ManagedClusterOIDCIssuerProfileArgs(enabled=True),
            security_profile=containerservice.ManagedClusterSecurityProfileArgs(
                workload_identity=containerservice.ManagedClusterSecurityProfileWorkloadIdentityArgs(enabled=True)
            ),
            storage_profile=containerservice.ManagedClusterStorageProfileArgs(
                file_csi_driver=containerservice.ManagedClusterStorageProfileFileCSIDriverArgs(enabled=True)
            ),
            agent_pool_profiles=[
                containerservice.ManagedClusterAgentPoolProfileArgs(
                    name="system",
                    mode=containerservice.AgentPoolMode.SYSTEM,
                    count=1,
                    vm_size=SYSTEM_NODE_TYPES["azure"],
                    os_sku=containerservice.OSSKU.AZURE_LINUX,
                    enable_encryption_at_host=True,
                    vnet_subnet_id=subnet_id,
                    node_labels=SYSTEM,
                    tags=fleet.tags | fleet.tags_of("system"),
                )
            ],
            tags=fleet.tags,
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[may_join])),
        )
        self.aks = Aks(
            name=cluster.name,
            id=cluster.id,
            group=group.name,
            nodes_group=cluster.node_resource_group.apply(lambda name: name or ""),
            issuer_url=cluster.oidc_issuer_profile.apply(lambda issuer: issuer.issuer_url if issuer else ""),
            subnet_id=subnet_id,
        )
        self.register_outputs({"name": cluster.name})


def identity_in_network(
    fleet: Fleet, group: resources.ResourceGroup, subnet_id: pulumi.Input[str], options: pulumi.ResourceOptions
) -> tuple[managedidentity.UserAssignedIdentity, authorization.RoleAssignment]:
    """Who the control plane is, and its right to put nodes into their subnet."""
    identity = managedidentity.UserAssignedIdentity(
        "control-plane", resource_group_name=group.name, tags=fleet.tags, opts=options
    )
    return identity, may("control-plane", identity, built_in(NETWORK_CONTRIBUTOR), subnet_id, options)
