"""Where a run keeps what outlives its nodes: a blob container that only the run's pods reach."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_azure_native import managedidentity, resources, storage

from infra.azure.aks import AksCluster
from infra.azure.rights import may
from infra.azure.vnet import AzureNetwork
from infra.node_fleet import NAMESPACE, OLD_VERSION_DAYS, SERVICE_ACCOUNT

BLOB_DATA_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
"""Azure's own role: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles"""


class AzureStorage(pulumi.ComponentResource):
    """Encrypted, versioned, reached from the nodes' subnet alone, without keys.

    The file system that nodes share is a claim of Azure Files' storage class.
    """

    def __init__(
        self,
        name: str,
        *,
        group: resources.ResourceGroup,
        network: AzureNetwork,
        cluster: AksCluster,
        tags: Mapping[str, str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("clusterctl:azure:Storage", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        account = storage.StorageAccount(
            "checkpoints",
            resource_group_name=group.name,
            kind=storage.Kind.STORAGE_V2,
            sku=storage.SkuArgs(name=storage.SkuName.STANDARD_LRS),
            allow_blob_public_access=False,
            allow_shared_key_access=False,
            enable_https_traffic_only=True,
            minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
            network_rule_set=storage.NetworkRuleSetArgs(
                default_action=storage.DefaultAction.DENY,
                bypass=storage.Bypass.NONE,
                virtual_network_rules=[storage.VirtualNetworkRuleArgs(virtual_network_resource_id=network.subnet_id)],
            ),
            tags=tags,
            opts=child,
        )
        storage.BlobServiceProperties(
            "checkpoints",
            account_name=account.name,
            resource_group_name=group.name,
            blob_services_name="default",
            is_versioning_enabled=True,
            opts=child,
        )
        container = storage.BlobContainer(
            "runs",
            account_name=account.name,
            resource_group_name=group.name,
            public_access=storage.PublicAccess.NONE,
            opts=child,
        )
        old = storage.DateAfterCreationArgs(days_after_creation_greater_than=OLD_VERSION_DAYS)
        storage.ManagementPolicy(
            "checkpoints",
            account_name=account.name,
            resource_group_name=group.name,
            management_policy_name="default",
            policy=storage.ManagementPolicySchemaArgs(
                rules=[
                    storage.ManagementPolicyRuleArgs(
                        name="leftovers",
                        type=storage.RuleType.LIFECYCLE,
                        enabled=True,
                        definition=storage.ManagementPolicyDefinitionArgs(
                            filters=storage.ManagementPolicyFilterArgs(blob_types=["blockBlob"]),
                            actions=storage.ManagementPolicyActionArgs(
                                version=storage.ManagementPolicyVersionArgs(delete=old)
                            ),
                        ),
                    )
                ]
            ),
            opts=child,
        )
        let_jobs_in(account, group=group, cluster=cluster, tags=tags, options=child)
        self.bucket = pulumi.Output.format("{0}/{1}", account.name, container.name)
        self.register_outputs({"bucket": self.bucket})


def let_jobs_in(
    account: storage.StorageAccount,
    *,
    group: resources.ResourceGroup,
    cluster: AksCluster,
    tags: Mapping[str, str],
    options: pulumi.ResourceOptions,
) -> None:
    """The run's pods, and no node, read and write this account, and nothing else of the subscription."""
    jobs = managedidentity.UserAssignedIdentity("jobs", resource_group_name=group.name, tags=tags, opts=options)
    managedidentity.FederatedIdentityCredential(
        "jobs",
        resource_group_name=group.name,
        resource_name_=jobs.name,
        issuer=cluster.issuer_url,
        subject=f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}",
        audiences=["api://AzureADTokenExchange"],
        opts=options,
    )
    may("jobs", jobs, BLOB_DATA_CONTRIBUTOR, account.id, options)
