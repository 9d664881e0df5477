"""A fleet on AWS: EKS in a network of its own."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.aws.eks import EksCluster
from infra.aws.node_groups import GpuNodeGroup, SandboxNodeGroup
from infra.aws.s3_and_efs import AwsStorage
from infra.aws.vpc import AwsNetwork
from infra.node_fleet import Fleet
from infra.own_tag import tag_each_resource


def provision(fleet: Fleet) -> dict[str, pulumi.Input[object]]:
    """Network, cluster, pools, storage, budget; returns what jobs need to get in."""
    tag_each_resource()
    provider = aws.Provider("aws", region=fleet.region, default_tags=aws.ProviderDefaultTagsArgs(tags=fleet.tags))
    options = pulumi.ResourceOptions(provider=provider)
    network = AwsNetwork(fleet.run, zone=fleet.zone, opts=options)
    cluster = EksCluster(fleet.run, fleet=fleet, network=network, opts=options)
    for pool in fleet.gpu_pools:
        GpuNodeGroup(pool.name, pool=pool, fleet=fleet, network=network, cluster=cluster, opts=options)
    for pool in fleet.sandbox_pools:
        SandboxNodeGroup(pool.name, pool=pool, fleet=fleet, network=network, cluster=cluster, opts=options)
    storage = AwsStorage(fleet.run, network=network, cluster=cluster, opts=options)
    budget_alarm(fleet, options)
    return {"cluster": cluster.name, "endpoint": cluster.endpoint, "bucket": storage.bucket, "region": fleet.region}


def budget_alarm(fleet: Fleet, options: pulumi.ResourceOptions) -> None:
    """Says, hours late, that the run has cost what it may cost.  An alarm: the limit itself is held in the cluster."""
    if fleet.limit_usd is None:
        return
    aws.budgets.Budget(
        "limit",
        budget_type="COST",
        time_unit="ANNUALLY",
        limit_amount=f"{fleet.limit_usd:g}",
        limit_unit="USD",
        cost_filters=[
            aws.budgets.BudgetCostFilterArgs(name="TagKeyValue", values=[f"user:clusterctl.dev/run${fleet.run}"])
        ],
        opts=options,
    )
