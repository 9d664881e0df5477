"""A fleet on Google Cloud: GKE in a network of its own."""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp

from infra.gcp.gcs import GoogleStorage
from infra.gcp.gke import Gke, GkeCluster, Project, existing_cluster
from infra.gcp.google_network import GoogleNetwork, existing_subnet
from infra.gcp.node_pools import GkeNodePool
from infra.gcp.supervisor import let_supervisor_resize
from infra.made import Made
from infra.node_fleet import Fleet
from infra.own_tag import describe_each_resource
from planners.tags import tag_key

GVISOR_NODES = {"sandbox.gke.io/runtime": "gvisor"}
"""Label and taint that GKE gives to nodes with gVisor."""


def provision(fleet: Fleet) -> Made:
    """Network, cluster, pools, storage, the supervisor's rights, budget.

    The project is that of the caller's credentials, as everywhere in Google's tools (`gcloud config set project`).
    """
    describe_each_resource(fleet.tags)
    provider = gcp.Provider("gcp", region=fleet.region, default_labels=fleet.tags)
    options = pulumi.ResourceOptions(provider=provider)
    project = gcp.organizations.get_project_output(opts=pulumi.InvokeOutputOptions(provider=provider))
    gke, network_id = cluster_of(fleet, project, options)
    groups = {
        pool.name: GkeNodePool(pool, fleet=fleet, project=project, gke=gke, opts=options).group for pool in fleet.pools
    }
    storage = GoogleStorage(fleet.run, fleet=fleet, project=project, opts=options)
    let_supervisor_resize(fleet, gke, project, options)
    budget_alarm(fleet, project, options)
    return Made(
        cluster=gke.name,
        endpoint=gke.endpoint,
        certificate=gke.certificate,
        token_command=["gke-gcloud-auth-plugin"],
        bucket=storage.bucket,
        account=project.project_id,
        zone=gke.zone,
        groups=groups,
        sandbox_class={"handler": "gvisor", "nodes": GVISOR_NODES, "taints": GVISOR_NODES},
        storage_class={
            "provisioner": "filestore.csi.storage.gke.io",
            "parameters": {"tier": "standard", "network": network_id.apply(lambda link: link.rpartition("/")[2])},
        },
    )


def cluster_of(fleet: Fleet, project: Project, options: pulumi.ResourceOptions) -> tuple[Gke, pulumi.Output[str]]:
    """A new cluster in a new network, or what of it the user has; and the network."""
    asked = pulumi.InvokeOutputOptions(provider=options.provider)
    if fleet.settings.cluster:
        gke = existing_cluster(fleet, project, options)
        found = gcp.container.get_cluster_output(name=gke.name, location=gke.zone, opts=asked)
        return gke, found.network
    if fleet.settings.subnets:
        subnet = existing_subnet(fleet.settings.subnets[0], asked)
    else:
        subnet = GoogleNetwork(fleet.run, region=fleet.region, opts=options).subnet
    gke = GkeCluster(fleet.run, fleet=fleet, project=project, subnet=subnet, opts=options).gke
    return gke, subnet.network_id


def budget_alarm(fleet: Fleet, project: Project, options: pulumi.ResourceOptions) -> None:
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
            projects=[pulumi.Output.format("projects/{0}", project.number)], labels={tag_key("gcp", "run"): fleet.run}
        ),
        threshold_rules=[gcp.billing.BudgetThresholdRuleArgs(threshold_percent=share) for share in (0.8, 1.0)],
        opts=options,
    )
