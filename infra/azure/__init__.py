"""A fleet on Azure: AKS in a network and a resource group of its own, or in the user's."""

from __future__ import annotations

import base64
from typing import Any

import pulumi
import yaml
from pulumi_azure_native import consumption, containerservice, resources

from infra.azure.agent_pools import AgentPool
from infra.azure.aks import Aks, AksCluster, existing_cluster
from infra.azure.blobs import AzureStorage
from infra.azure.rights import subscription_of
from infra.azure.supervisor import let_supervisor_resize
from infra.azure.vnet import AzureNetwork
from infra.made import Made
from infra.node_fleet import Fleet
from planners.tags import tag_key

AKS_SERVER = "6dae42f8-4368-4678-94ff-3960e28e3630"
"""Of AKS at Microsoft Entra, for which credentials are asked: https://learn.microsoft.com/azure/aks/kubelogin-authentication"""
CLIENT = "azure.workload.identity/client-id"
"""Annotation by which a service account is an identity of Azure."""


def provision(fleet: Fleet) -> Made:
    """Network, cluster, pools, storage, the supervisor's rights, budget.

    The subscription is that of the caller's credentials, as everywhere in Azure's tools (`az account set`).
    """
    group = resources.ResourceGroup(fleet.run, location=fleet.region, tags=fleet.tags)
    options = pulumi.ResourceOptions(parent=group)
    aks = cluster_of(fleet, group, options)
    pools = {pool.name: AgentPool(pool, fleet=fleet, group=group, aks=aks, opts=options) for pool in fleet.pools}
    storage = AzureStorage(fleet.run, fleet=fleet, group=group, aks=aks, opts=options)
    supervisor = let_supervisor_resize(fleet, aks, pools, group=group.name, options=options)
    budget_alarm(fleet, options)
    way_in = kube_cluster(aks)
    return Made(
        cluster=aks.name,
        endpoint=way_in["server"],
        certificate=way_in["certificate-authority-data"],
        token_command=["kubelogin", "get-token", "--login", "azurecli", "--server-id", AKS_SERVER],
        bucket=storage.bucket,
        account=subscription_of(),
        zone=fleet.settings.zone,
        groups={name: pool.group for name, pool in pools.items()},
        resource_group=aks.group,
        sandbox_class={"handler": "kata"},
        storage_class={
            "provisioner": "file.csi.azure.com",
            "parameters": {"skuName": "Premium_LRS", "protocol": "nfs", "networkEndpointType": "privateEndpoint"},
        },
        supervisor_note={CLIENT: supervisor.client_id},
        jobs_note={CLIENT: storage.jobs.client_id},
        device_plugins=("nvidia",) if fleet.gpu_pools else (),
    )


def cluster_of(fleet: Fleet, group: resources.ResourceGroup, options: pulumi.ResourceOptions) -> Aks:
    """A new cluster in a new network, or what of it the user has."""
    if fleet.settings.cluster:
        return existing_cluster(fleet.settings.cluster)
    if fleet.settings.subnets:
        subnet_id: pulumi.Input[str] = fleet.settings.subnets[0]
    else:
        subnet_id = AzureNetwork(fleet.run, fleet=fleet, group=group, opts=options).subnet_id
    return AksCluster(fleet.run, fleet=fleet, group=group, subnet_id=subnet_id, opts=options).aks


def kube_cluster(aks: Aks) -> pulumi.Output[dict[str, Any]]:
    """URL and authority of the cluster's API, which AKS only says in a kubeconfig."""
    asked = containerservice.list_managed_cluster_user_credentials_output(
        resource_group_name=aks.group, resource_name=aks.name
    )
    return asked.kubeconfigs.apply(
        lambda found: yaml.safe_load(base64.b64decode(found[0].value))["clusters"][0]["cluster"]
    )


def budget_alarm(fleet: Fleet, options: pulumi.ResourceOptions) -> None:
    """Says, hours late, that the run has cost what it may cost.  An alarm: the limit itself is held in the cluster."""
    if fleet.limit_usd is None:
        return
    consumption.Budget(
        "limit",
        scope=pulumi.Output.format("/subscriptions/{0}", subscription_of()),
        amount=fleet.limit_usd,
        category=consumption.CategoryType.COST,
        time_grain=consumption.TimeGrainType.ANNUALLY,
        time_period=consumption.BudgetTimePeriodArgs(start_date=fleet.planned_on.replace(day=1).isoformat()),
        filter=consumption.BudgetFilterArgs(
            tags=consumption.BudgetComparisonExpressionArgs(
                name=tag_key("azure", "run"), operator=consumption.BudgetOperatorType.IN_, values=[fleet.run]
            )
        ),
        notifications={
            f"at-{percent}": consumption.NotificationArgs(
                enabled=True,
                operator=consumption.OperatorType.GREATER_THAN_OR_EQUAL_TO,
                threshold=percent,
                contact_emails=[],
                contact_roles=["Owner"],
            )
            for percent in (80, 100)
        },
        opts=options,
    )
