"""The GKE cluster: private nodes, encrypted secrets, its endpoint open to nobody but who is named."""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp

from infra.gcp.google_network import PODS, SERVICES, GoogleNetwork
from infra.node_fleet import SYSTEM, Fleet
from planners.plan.unit_prices import SYSTEM_NODE_TYPES

CONTROL_PLANE_CIDR = "172.16.0.0/28"
NODE_ROLES = (
    "roles/logging.logWriter",
    "roles/monitoring.metricWriter",
    "roles/monitoring.viewer",
    "roles/artifactregistry.reader",
)
"""What Google says that a node needs: https://cloud.google.com/kubernetes-engine/docs/how-to/hardening-your-cluster"""


class GkeCluster(pulumi.ComponentResource):
    """The control plane in one zone, with one small node for what no pool of the plan runs."""

    def __init__(
        self,
        name: str,
        *,
        fleet: Fleet,
        project: pulumi.Output[gcp.organizations.GetProjectResult],
        network: GoogleNetwork,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("clusterctl:gcp:Cluster", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        zones = gcp.compute.get_zones_output(
            region=fleet.region, status="UP", opts=pulumi.InvokeOutputOptions(parent=self)
        )
        self.zone: pulumi.Output[str] = zones.names.apply(lambda names: fleet.zone or names[0])
        key = secrets_key(fleet, project, child)
        self.node_account = node_account(fleet, project, child)
        cluster = gcp.container.Cluster(
            name,
            location=self.zone,
            network=network.id,
            subnetwork=network.subnet_id,
            remove_default_node_pool=True,
            initial_node_count=1,
            deletion_protection=False,
            datapath_provider="ADVANCED_DATAPATH",  # network policies are enforced
            enable_multi_networking=True,
            ip_allocation_policy=gcp.container.ClusterIpAllocationPolicyArgs(
                cluster_secondary_range_name=PODS, services_secondary_range_name=SERVICES
            ),
            private_cluster_config=gcp.container.ClusterPrivateClusterConfigArgs(
                enable_private_nodes=True,
                enable_private_endpoint=not fleet.access_cidrs,
                master_ipv4_cidr_block=CONTROL_PLANE_CIDR,
            ),
            master_authorized_networks_config=gcp.container.ClusterMasterAuthorizedNetworksConfigArgs(
                cidr_blocks=[
                    gcp.container.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs(cidr_block=cidr)
                    for cidr in fleet.access_cidrs
                ]
            ),
            workload_identity_config=gcp.container.ClusterWorkloadIdentityConfigArgs(
                workload_pool=pulumi.Output.format("{0}.svc.id.goog", project.project_id)
            ),
            database_encryption=gcp.container.ClusterDatabaseEncryptionArgs(state="ENCRYPTED", key_name=key),
            addons_config=gcp.container.ClusterAddonsConfigArgs(
                gcp_filestore_csi_driver_config=gcp.container.ClusterAddonsConfigGcpFilestoreCsiDriverConfigArgs(
                    enabled=True
                )
            ),
            release_channel=gcp.container.ClusterReleaseChannelArgs(channel="REGULAR"),
            opts=child,
        )
        self.name, self.endpoint, self.id = cluster.name, cluster.endpoint, cluster.id
        gcp.container.NodePool(
            "system",
            cluster=cluster.id,
            node_count=1,
            node_config=gcp.container.NodePoolNodeConfigArgs(
                machine_type=SYSTEM_NODE_TYPES["gcp"], labels=SYSTEM, **node_defaults(self)
            ),
            opts=child,
        )
        self.register_outputs({"name": self.name, "endpoint": self.endpoint})


def node_account(
    fleet: Fleet, project: pulumi.Output[gcp.organizations.GetProjectResult], options: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """Address of the account that nodes have."""
    account = gcp.serviceaccount.Account("nodes", account_id=account_id(fleet.run, "nodes"), opts=options)
    for role in NODE_ROLES:
        gcp.projects.IAMMember(
            f"nodes-{role.rpartition('/')[2]}",
            project=project.project_id,
            role=role,
            member=pulumi.Output.format("serviceAccount:{0}", account.email),
            opts=options,
        )
    return account.email


def node_defaults(cluster: GkeCluster) -> dict[str, object]:
    """What every node is: an account that may write logs, a verified boot, pods without the node's credentials."""
    return {
        "service_account": cluster.node_account,
        "oauth_scopes": ["https://www.googleapis.com/auth/cloud-platform"],
        "shielded_instance_config": gcp.container.NodePoolNodeConfigShieldedInstanceConfigArgs(
            enable_secure_boot=True, enable_integrity_monitoring=True
        ),
        "workload_metadata_config": gcp.container.NodePoolNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
    }


def secrets_key(
    fleet: Fleet, project: pulumi.Output[gcp.organizations.GetProjectResult], options: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """Name of the key that encrypts the cluster's secrets; Google keeps key rings for ever, empty ones for nothing."""
    ring = gcp.kms.KeyRing("secrets", location=fleet.region, opts=options)
    key = gcp.kms.CryptoKey("secrets", key_ring=ring.id, rotation_period="7776000s", opts=options)
    member = gcp.kms.CryptoKeyIAMMember(
        "secrets",
        crypto_key_id=key.id,
        role="roles/cloudkms.cryptoKeyEncrypterDecrypter",
        member=pulumi.Output.format(
            "serviceAccount:service-{0}@container-engine-robot.iam.gserviceaccount.com", project.number
        ),
        opts=options,
    )
    return pulumi.Output.all(key.id, member.id).apply(lambda found: str(found[0]))


def account_id(run: str, what: str) -> str:
    """Between 6 and 30 letters, which Google asks for; the run's last six are its digest."""
    return f"cctl-{run[-12:].strip('-')}-{what}"[:30]
