"""A fleet on Azure: AKS in a network and a resource group of its own."""

from __future__ import annotations

import pulumi
from pulumi_azure_native import authorization, consumption, resources

from infra.azure.agent_pools import GpuAgentPool, SandboxAgentPool
from infra.azure.aks import AksCluster
from infra.azure.blobs import AzureStorage
from infra.azure.rights import azure_tags
from infra.azure.vnet import AzureNetwork
from infra.node_fleet import TAG_PREFIX, Fleet


def provision(fleet: Fleet) -> dict[str, pulumi.Input[object]]:
    """Network, cluster, pools, storage, budget; returns what jobs need to get in.

    The subscription is that of the caller's credentials, as everywhere in Azure's tools (`az account set`).
    """
    tags = azure_tags(fleet)
    group = resources.ResourceGroup(fleet.run, location=fleet.region, tags=tags)
    options = pulumi.ResourceOptions(parent=group)
    network = AzureNetwork(fleet.run, group=group, tags=tags, opts=options)
    cluster = AksCluster(fleet.run, fleet=fleet, group=group, network=network, tags=tags, opts=options)
    for pool in fleet.gpu_pools:
        GpuAgentPool(pool.name, pool=pool, fleet=fleet, group=group, network=network, cluster=cluster, opts=options)
    for pool in fleet.sandbox_pools:
        SandboxAgentPool(pool.name, pool=pool, fleet=fleet, group=group, network=network, cluster=cluster, opts=options)
    storage = AzureStorage(fleet.run, group=group, network=network, cluster=cluster, tags=tags, opts=options)
    budget_alarm(fleet, group, options)
    return {"cluster": cluster.name, "endpoint": cluster.endpoint, "bucket": storage.bucket, "region": fleet.region}


def budget_alarm(fleet: Fleet, group: resources.ResourceGroup, options: pulumi.ResourceOptions) -> None:
    """Says, hours late, that the run has cost what it may cost.  An alarm: the limit itself is held in the cluster."""
    if fleet.limit_usd is None:
        return
    client = authorization.get_client_config_output(opts=pulumi.InvokeOutputOptions(parent=group))
    consumption.Budget(
        "limit",
        scope=pulumi.Output.format("/subscriptions/{0}", client.subscription_id),
        amount=fleet.limit_usd,
        category=consumption.CategoryType.COST,
        time_grain=consumption.TimeGrainType.ANNUALLY,
        time_period=consumption.BudgetTimePeriodArgs(start_date=fleet.planned_on.replace(day=1).isoformat()),
        filter=consumption.BudgetFilterArgs(
            tags=consumption.BudgetComparisonExpressionArgs(
                name=f"{TAG_PREFIX}.run", operator=consumption.BudgetOperatorType.IN_, values=[fleet.run]
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
