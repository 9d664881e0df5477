"""The EKS cluster: encrypted, logged, its endpoint open to nobody but who is named."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.aws.iam import POD_SERVICE, let_pods, service_role
from infra.aws.vpc import Subnets, existing_subnets
from infra.node_fleet import SYSTEM, Fleet
from planners.plan.unit_prices import SYSTEM_NODE_TYPES

VERSION = "1.34"
ADDONS = ("vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent", "aws-efs-csi-driver")
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly")
"""What AWS says that a node needs: https://docs.aws.amazon.com/eks/latest/userguide/create-node-role.html"""
NETWORK_POLICIES = '{"enableNetworkPolicy": "true"}'
"""Of the CNI, which enforces none unless it is told to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eks:
    """A cluster to which pools are added."""

    name: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    certificate: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    subnets: Subnets
    node_role_arn: pulumi.Output[str]


def existing_cluster(fleet: Fleet, options: pulumi.ResourceOptions) -> Eks:
    """A cluster that is there, with its subnets; its nodes get a role of this fleet."""
    asked = pulumi.InvokeOutputOptions(provider=options.provider)
    found = aws.eks.get_cluster_output(name=fleet.settings.cluster, opts=asked)
    return Eks(
        name=found.name,
        endpoint=found.endpoint,
        certificate=found.certificate_authorities[0].data,
        security_group_id=found.vpc_config.cluster_security_group_id,
        subnets=existing_subnets(found.vpc_config.subnet_ids, asked),
        node_role_arn=service_role("nodes", "ec2.amazonaws.com", NODE_POLICIES, options).arn,
    )


class EksCluster(pulumi.ComponentResource):
    """The control plane, its add-ons, and one small node for what no pool of the plan runs."""

    def __init__(self, name: str, *, fleet: Fleet, subnets: Subnets, opts: pulumi.ResourceOptions) -> None:
        super().__init__("clusterctl:aws:Cluster", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
        cidrs = list(fleet.settings.access_cidrs)
        key = aws.kms.Key(
            "secrets", description=f"Secrets of {name}", enable_key_rotation=True, deletion_window_in_days=7, opts=child
        )
        role = service_role("control-plane", "eks.amazonaws.com", ("AmazonEKSClusterPolicy",), child)
        cluster = aws.eks.Cluster(
            name,
            role_arn=role.arn,
            version=VERSION,
            access_config=aws.eks.ClusterAccessConfigArgs(
                authentication_mode="API", bootstrap_cluster_creator_admin_permissions=True
            ),
            vpc_config=aws.eks.ClusterVpcConfigArgs(
                subnet_ids=subnets.ids,
                endpoint_private_access=True,
                endpoint_public_access=bool(cidrs),
                public_access_cidrs=cidrs or None,
            ),
            encryption_config=aws.eks.ClusterEncryptionConfigArgs(
                provider=aws.eks.ClusterEncryptionConfigProviderArgs(key_arn=key.arn), resources=["secrets"]
            ),
            enabled_cluster_log_types=["api", "audit", "authenticator"],
            opts=child,
        )
        nodes = service_role("nodes", "ec2.amazonaws.com", NODE_POLICIES, child)
        system = aws.eks.NodeGroup(
            "system",
            cluster_name=cluster.name,
            node_role_arn=nodes.arn,
            subnet_ids=[subnets.node_subnet_id],
            instance_types=[SYSTEM_NODE_TYPES["aws"]],
            scaling_config=aws.eks.NodeGroupScalingConfigArgs(desired_size=1, min_size=1, max_size=1),
            labels=SYSTEM,
            opts=child,
        )
        for addon in ADDONS:
            aws.eks.Addon(
                addon,
                addon_name=addon,
                cluster_name=cluster.name,
                resolve_conflicts_on_create="OVERWRITE",
                configuration_values=NETWORK_POLICIES if addon == "vpc-cni" else None,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[system]),
            )
        volumes = service_role("volumes", POD_SERVICE, ("service-role/AmazonEFSCSIDriverPolicy",), child, for_pods=True)
        let_pods("volumes", cluster.name, ("kube-system", "efs-csi-controller-sa"), volumes, child)
        self.eks = Eks(
            name=cluster.name,
            endpoint=cluster.endpoint,
            certificate=cluster.certificate_authority.apply(lambda authority: authority.data or ""),
            security_group_id=cluster.vpc_config.apply(lambda vpc: vpc.cluster_security_group_id or ""),
            subnets=subnets,
            node_role_arn=nodes.arn,
        )
        self.register_outputs({"name": cluster.name, "endpoint": cluster.endpoint})
