"""The AKS cluster: private nodes, no local accounts, its endpoint open to nobody but who is named."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_azure_native import authorization, containerservice, managedidentity, resources

from infra.azure.rights import may
from infra.azure.vnet import AzureNetwork
from infra.node_fleet import SYSTEM, Fleet
from planners.plan.unit_prices import SYSTEM_NODE_TYPES

NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"
"""Azure's own role: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles"""
POD_CIDR, SERVICE_CIDR, DNS_ADDRESS = "10.128.0.0/10", "10.65.0.0/16", "10.65.0.10"


class AksCluster(pulumi.ComponentResource):
    """The control plane, with one small node for what no pool of the plan runs."""

    def __init__(
        self,
        name: str,
        *,
        fleet: Fleet,
        group: resources.ResourceGroup,
        network: AzureNetwork,
        tags: Mapping[str, str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("clusterctl:azure:Cluster", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        identity, may_join = identity_in_network(self, group=group, network=network, tags=tags)
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
                enable_private_cluster=not fleet.access_cidrs, authorized_ip_ranges=list(fleet.access_cidrs) or None
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
                    vnet_subnet_id=network.subnet_id,
                    node_labels=SYSTEM,
                    tags=tags,
                )
            ],
            tags=tags,
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[may_join])),
        )
        self.name = cluster.name
        self.endpoint = cluster.fqdn
        self.issuer_url = cluster.oidc_issuer_profile.apply(lambda issuer: issuer.issuer_url if issuer else "")
        self.register_outputs({"name": self.name, "endpoint": self.endpoint})


def identity_in_network(
    cluster: AksCluster, *, group: resources.ResourceGroup, network: AzureNetwork, tags: Mapping[str, str]
) -> tuple[managedidentity.UserAssignedIdentity, authorization.RoleAssignment]:
    """Who the control plane is, and its right to put nodes into their subnet."""
    child = pulumi.ResourceOptions(parent=cluster)
    identity = managedidentity.UserAssignedIdentity(
        "control-plane", resource_group_name=group.name, tags=tags, opts=child
    )
    return identity, may("control-plane", identity, NETWORK_CONTRIBUTOR, network.subnet_id, child)
