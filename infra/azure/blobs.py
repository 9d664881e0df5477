"""Where a run keeps what outlives its nodes: a blob container that only the run's pods reach."""

from __future__ import annotations

import pulumi
from pulumi_azure_native import managedidentity, resources, storage

from infra.azure.aks import Aks
from infra.azure.rights import built_in, identity_of_pods, may
from infra.node_fleet import JOBS, OLD_VERSION_DAYS, Fleet

BLOB_DATA_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
"""Azure's own role: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles"""


class AzureStorage(pulumi.ComponentResource):
    """A container of blobs, and the identity of the run's pods, which alone may use it.

    The file system that nodes share is a claim of Azure Files' storage class.
    """

    def __init__(
        self, name: str, *, fleet: Fleet, group: resources.ResourceGroup, aks: Aks, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("clusterctl:azure:Storage", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        self.jobs: managedidentity.UserAssignedIdentity = identity_of_pods(
            "jobs", JOBS, fleet=fleet, group=group.name, issuer_url=aks.issuer_url, options=child
        )
        if fleet.settings.bucket:
            parts = fleet.settings.bucket.split("/")
            scope: pulumi.Input[str] = fleet.settings.bucket
            self.bucket: pulumi.Input[str] = f"{parts[8]}/{parts[-1]}"
        else:
            account, self.bucket = new_bucket(fleet, group, aks.subnet_id, child)
            scope = account.id
        may("jobs", self.jobs, built_in(BLOB_DATA_CONTRIBUTOR), scope, child)
        self.register_outputs({"bucket": self.bucket})


def new_bucket(
    fleet: Fleet, group: resources.ResourceGroup, subnet_id: pulumi.Input[str], options: pulumi.ResourceOptions
) -> tuple[storage.StorageAccount, pulumi.Output[str]]:
    """Encrypted, versioned, reached from the nodes' subnet alone, without keys."""
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
            virtual_network_rules=[storage.VirtualNetworkRuleArgs(virtual_network_resource_id=subnet_id)],
        ),
        tags=fleet.tags,
        opts=options,
    )
    storage.BlobServiceProperties(
        "checkpoints",
        account_name=account.name,
        resource_group_name=group.name,
        blob_services_name="default",
        is_versioning_enabled=True,
        opts=options,
    )
    container = storage.BlobContainer(
        "runs",
        account_name=account.name,
        resource_group_name=group.name,
        public_access=storage.PublicAccess.NONE,
        opts=options,
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
        opts=options,
    )
    return account, pulumi.Output.format("{0}/{1}", account.name, container.name)
