"""A fleet on Google Cloud: GKE in a network of its own."""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp

from infra.gcp.gcs import GoogleStorage
from infra.gcp.gke import GkeCluster
from infra.gcp.google_network import GoogleNetwork
from infra.gcp.node_pools import GpuNodePool, SandboxNodePool
from infra.node_fleet import Fleet


def provision(fleet: Fleet) -> dict[str, pulumi.Input[object]]:
    """Network, cluster, pools, storage, budget; returns what jobs need to get in.

    The project is that of the caller's credentials, as everywhere in Google's tools (`gcloud config set project`).
    """
    provider = gcp.Provider("gcp", region=fleet.region, default_labels=labels(fleet))
    options = pulumi.ResourceOptions(provider=provider)
    project = gcp.organizations.get_project_output(opts=pulumi.InvokeOutputOptions(provider=provider))
    network = GoogleNetwork(fleet.run, region=fleet.region, opts=options)
    cluster = GkeCluster(fleet.run, fleet=fleet, project=project, network=network, opts=options)
    for pool in fleet.gpu_pools:
        GpuNodePool(pool.name, pool=pool, fleet=fleet, project=project, cluster=cluster, opts=options)
    for pool in fleet.sandbox_pools:
        SandboxNodePool(pool.name, pool=pool, cluster=cluster, opts=options)
    storage = GoogleStorage(fleet.run, fleet=fleet, project=project, opts=options)
    budget_alarm(fleet, project, options)
    return {"cluster": cluster.name, "endpoint": cluster.endpoint, "bucket": storage.bucket, "region": fleet.region}


def labels(fleet: Fleet) -> dict[str, str]:
    """The fleet's tags as labels, which hold no dot, slash or capital."""
    return {
        name.replace(".", "-").replace("/", "-"): value.lower().replace(".", "-")[:63]
        for name, value in fleet.tags.items()
    }


def budget_alarm(
    fleet: Fleet, project: pulumi.Output[gcp.organizations.GetProjectResult], options: pulumi.ResourceOptions
) -> None:
    """Says, hours late, that the run has cost what it may cost.  An alarm: the limit itself is held in the cluster."""
    if fleet.limit_usd is None:
        return
    gcp.billing.Budget(
        "limit",
        billing_account=project.billing_account,
        display_name=f"clusterctl {fleet.run}",
        amount=gcp.billing.BudgetAmountArgs(
            specified_amount=gcp.billing.BudgetAmountSpecifiedAmountArgs(
                currency_code="USD", units=str(max(1, round(fleet.limit_usd)))
            )
        ),
        budget_filter=gcp.billing.BudgetBudgetFilterArgs(
            projects=[pulumi.Output.format("projects/{0}", project.number)], labels={"clusterctl-dev-run": fleet.run}
        ),
        threshold_rules=[gcp.billing.BudgetThresholdRuleArgs(threshold_percent=share) for share in (0.8, 1.0)],
        opts=options,
    )
