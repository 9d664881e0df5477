"""The GKE cluster: private nodes, encrypted secrets, its endpoint open to nobody but who is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import pulumi
import pulumi_gcp as gcp

from infra.gcp.google_network import PODS, SERVICES, Subnet
from infra.node_fleet import SYSTEM, Fleet
from planners.plan.unit_prices import SYSTEM_NODE_TYPES

Project: TypeAlias = pulumi.Output[gcp.organizations.GetProjectResult]

CONTROL_PLANE_CIDR = "172.16.0.0/28"
NODE_ROLES = (
    "roles/logging.logWriter",
    "roles/monitoring.metricWriter",
    "roles/monitoring.viewer",
    "roles/artifactregistry.reader",
)
"""What Google says that a node needs: https://cloud.google.com/kubernetes-engine/docs/how-to/hardening-your-cluster"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gke:
    """A cluster to which pools are added."""

    name: pulumi.Output[str]
    id: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    certificate: pulumi.Output[str]
    zone: pulumi.Output[str]
    node_account: pulumi.Output[str]
    """Address of the account that nodes have."""


def existing_cluster(fleet: Fleet, project: Project, options: pulumi.ResourceOptions) -> Gke:
    """A cluster that is there, in the zone of the settings; its nodes get an account of this fleet."""
    asked = pulumi.InvokeOutputOptions(provider=options.provider)
    location = fleet.settings.zone or fleet.region
    found = gcp.container.get_cluster_output(name=fleet.settings.cluster, location=location, opts=asked)
    return Gke(
        name=found.name,
        id=found.id,
        endpoint=found.endpoint.apply(lambda host: f"https://{host}"),
        certificate=found.master_auths[0].cluster_ca_certificate,
        zone=pulumi.Output.from_input(location),
        node_account=node_account(fleet, project, options),
    )


class GkeCluster(pulumi.ComponentResource):
    """The control plane in one zone, with one small node for what no pool of the plan runs."""

    def __init__(
        self, name: str, *, fleet: Fleet, project: Project, subnet: Subnet, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("clusterctl:gcp:Cluster", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        zones = gcp.compute.get_zones_output(
            region=fleet.region, status="UP", opts=pulumi.InvokeOutputOptions(parent=self)
        )
        zone: pulumi.Output[str] = zones.names.apply(lambda names: fleet.settings.zone or names[0])
        account = node_account(fleet, project, child)
        cluster = control_plane(fleet, project, subnet, zone, child)
        gcp.container.NodePool(
            "system",
            cluster=cluster.id,
            node_count=1,
            node_config=gcp.container.NodePoolNodeConfigArgs(
                machine_type=SYSTEM_NODE_TYPES["gcp"], labels=SYSTEM, **node_defaults(fleet, account, "system")
            ),
            opts=child,
        )
        self.gke = Gke(
            name=cluster.name,
            id=cluster.id,
            endpoint=cluster.endpoint.apply(lambda host: f"https://{host}"),
            certificate=cluster.master_auth.apply(lambda auth: auth.cluster_ca_certificate or ""),
            zone=zone,
            node_account=account,
        )
        self.register_outputs({"name": cluster.name, "endpoint": cluster.endpoint})


def control_plane(
    fleet: Fleet, project: Project, subnet: Subnet, zone: pulumi.Output[str], options: pulumi.ResourceOptions
) -> gcp.container.Cluster:
    """The cluster itself: private, encrypted, its network policies enforced."""
    cidrs = fleet.settings.access_cidrs
    return gcp.container.Cluster(
        fleet.run,
        location=zone,
        network=subnet.network_id,
        subnetwork=subnet.id,
        remove_default_node_pool=True,
        initial_node_count=1,
        deletion_protection=False,
        datapath_provider="ADVANCED_DATAPATH",  # network policies are enforced
        enable_multi_networking=True,
        ip_allocation_policy=gcp.container.ClusterIpAllocationPolicyArgs(
            cluster_secondary_range_name=PODS, services_secondary_range_name=SERVICES
        ),
        private_cluster_config=gcp.container.ClusterPrivateClusterConfigArgs(
            enable_private_nodes=True, enable_private_endpoint=not cidrs, master_ipv4_cidr_block=CONTROL_PLANE_CIDR
        ),
        master_authorized_networks_config=gcp.container.ClusterMasterAuthorizedNetworksConfigArgs(
            cidr_blocks=[
                gcp.container.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs(cidr_block=cidr) for cidr in cidrs
            ]
        ),
        workload_identity_config=gcp.container.ClusterWorkloadIdentityConfigArgs(
            workload_pool=pulumi.Output.format("{0}.svc.id.goog", project.project_id)
        ),
        database_encryption=gcp.container.ClusterDatabaseEncryptionArgs(
            state="ENCRYPTED", key_name=secrets_key(fleet, project, options)
        ),
        addons_config=gcp.container.ClusterAddonsConfigArgs(
            gcp_filestore_csi_driver_config=gcp.container.ClusterAddonsConfigGcpFilestoreCsiDriverConfigArgs(
                enabled=True
            )
        ),
        release_channel=gcp.container.ClusterReleaseChannelArgs(channel="REGULAR"),
        resource_labels=fleet.tags,
        opts=options,
    )


def node_account(fleet: Fleet, project: Project, options: pulumi.ResourceOptions) -> pulumi.Output[str]:
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


def node_defaults(fleet: Fleet, account: pulumi.Output[str], pool: str) -> dict[str, object]:
    """What every node is: an account that may write logs, a verified boot, pods without the node's credentials."""
    return {
        "resource_labels": fleet.tags_of(pool),
        "service_account": account,
        "oauth_scopes": ["https://www.googleapis.com/auth/cloud-platform"],
        "shielded_instance_config": gcp.container.NodePoolNodeConfigShieldedInstanceConfigArgs(
            enable_secure_boot=True, enable_integrity_monitoring=True
        ),
        "workload_metadata_config": gcp.container.NodePoolNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
    }


def secrets_key(fleet: Fleet, project: Project, options: pulumi.ResourceOptions) -> pulumi.Output[str]:
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
