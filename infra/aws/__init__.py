"""A fleet on AWS: EKS in a network of its own, or in the user's."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.aws.eks import Eks, EksCluster, existing_cluster
from infra.aws.gvisor import HANDLER
from infra.aws.node_groups import EFA_CARDS, EksNodeGroup
from infra.aws.s3_and_efs import AwsStorage
from infra.aws.supervisor import let_supervisor_resize
from infra.aws.vpc import AwsNetwork, existing_subnets
from infra.made import Made
from infra.node_fleet import Fleet
from infra.own_tag import tag_each_resource
from planners.tags import tag_key


def provision(fleet: Fleet) -> Made:
    """Network, cluster, pools, storage, the supervisor's rights, budget."""
    tag_each_resource()
    provider = aws.Provider("aws", region=fleet.region, default_tags=aws.ProviderDefaultTagsArgs(tags=fleet.tags))
    options = pulumi.ResourceOptions(provider=provider)
    asked = pulumi.InvokeOutputOptions(provider=provider)
    eks = cluster_of(fleet, options)
    groups = {pool.name: EksNodeGroup(pool, fleet=fleet, eks=eks, opts=options).group for pool in fleet.pools}
    storage = AwsStorage(fleet.run, fleet=fleet, eks=eks, opts=options)
    let_supervisor_resize(fleet, eks, groups, options)
    budget_alarm(fleet, options)
    command = ["aws", "eks", "get-token", "--region", fleet.region, "--output", "json", "--cluster-name"]
    plugins = ["nvidia"] if fleet.gpu_pools else []
    if any(pool.instance_type in EFA_CARDS for pool in fleet.gpu_pools):
        plugins.append("efa")
    return Made(
        cluster=eks.name,
        endpoint=eks.endpoint,
        certificate=eks.certificate,
        token_command=eks.name.apply(lambda name: [*command, name]),
        bucket=storage.bucket,
        account=aws.get_caller_identity_output(opts=asked).account_id,
        zone=eks.subnets.zone,
        groups=groups,
        sandbox_class={"handler": HANDLER},
        storage_class={
            "provisioner": "efs.csi.aws.com",
            "parameters": {
                "provisioningMode": "efs-ap",
                "fileSystemId": storage.file_system_id,
                "directoryPerms": "700",
            },
        },
        device_plugins=tuple(plugins),
    )


def cluster_of(fleet: Fleet, options: pulumi.ResourceOptions) -> Eks:
    """A new cluster in a new network, or what of it the user has."""
    if fleet.settings.cluster:
        return existing_cluster(fleet, options)
    if fleet.settings.subnets:
        asked = pulumi.InvokeOutputOptions(provider=options.provider)
        subnets = existing_subnets(list(fleet.settings.subnets), asked)
    else:
        subnets = AwsNetwork(fleet.run, zone=fleet.settings.zone, opts=options).subnets
    return EksCluster(fleet.run, fleet=fleet, subnets=subnets, opts=options).eks


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
            aws.budgets.BudgetCostFilterArgs(name="TagKeyValue", values=[f"user:{tag_key('aws', 'run')}${fleet.run}"])
        ],
        opts=options,
    )
