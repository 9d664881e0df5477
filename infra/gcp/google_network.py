"""A network with private nodes: they reach the internet through Cloud NAT, and nothing reaches them from there."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

NODES_CIDR, PODS_CIDR, SERVICES_CIDR = "10.64.0.0/20", "10.80.0.0/12", "10.65.0.0/20"
PODS, SERVICES = "pods", "services"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """Where a cluster is; its secondary ranges are called `pods` and `services`."""

    network_id: pulumi.Output[str]
    id: pulumi.Output[str]


def existing_subnet(link: str, options: pulumi.InvokeOutputOptions) -> Subnet:
    """A subnet that is there.  link: `projects/P/regions/R/subnetworks/NAME`."""
    found = gcp.compute.get_subnetwork_output(self_link=link, opts=options)
    return Subnet(network_id=found.network, id=found.self_link)


class GoogleNetwork(pulumi.ComponentResource):
    """One subnet for nodes, with ranges of their own for pods and services."""

    def __init__(self, name: str, *, region: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("clusterctl:gcp:Network", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        network = gcp.compute.Network(name, auto_create_subnetworks=False, routing_mode="REGIONAL", opts=child)
        subnet = gcp.compute.Subnetwork(
            "nodes",
            network=network.id,
            region=region,
            ip_cidr_range=NODES_CIDR,
            private_ip_google_access=True,  # the bucket, without the NAT, which is paid by the GB
            secondary_ip_ranges=[
                gcp.compute.SubnetworkSecondaryIpRangeArgs(range_name=PODS, ip_cidr_range=PODS_CIDR),
                gcp.compute.SubnetworkSecondaryIpRangeArgs(range_name=SERVICES, ip_cidr_range=SERVICES_CIDR),
            ],
            opts=child,
        )
        router = gcp.compute.Router("nat", network=network.id, region=region, opts=child)
        gcp.compute.RouterNat(
            "nat",
            router=router.name,
            region=region,
            nat_ip_allocate_option="AUTO_ONLY",
            source_subnetwork_ip_ranges_to_nat="ALL_SUBNETWORKS_ALL_IP_RANGES",
            opts=child,
        )
        self.subnet = Subnet(network_id=network.id, id=subnet.id)
        self.register_outputs({"id": network.id, "subnet_id": subnet.id})
