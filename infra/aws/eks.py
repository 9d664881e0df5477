"""The EKS cluster: encrypted, logged, its endpoint open to nobody but who is named."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.aws.iam import service_role
from infra.aws.vpc import AwsNetwork
from infra.node_fleet import SYSTEM, Fleet
from planners.plan.unit_prices import SYSTEM_NODE_TYPES

VERSION = "1.34"
ADDONS = ("vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent", "aws-efs-csi-driver")
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly")
"""What AWS says that a node needs: https://docs.aws.amazon.com/eks/latest/userguide/create-node-role.html"""


class EksCluster(pulumi.ComponentResource):
    """The control plane, its add-ons, and one small node for what no pool of the plan runs."""

    def __init__(self, name: str, *, fleet: Fleet, network: AwsNetwork, opts: pulumi.ResourceOptions) -> None:
        super().__init__("clusterctl:aws:Cluster", name, opts=opts)
        child = pulumi.ResourceOptions(parent=self)
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
                subnet_ids=network.subnet_ids,
                endpoint_private_access=True,
                endpoint_public_access=bool(fleet.access_cidrs),
                public_access_cidrs=list(fleet.access_cidrs) or None,
            ),
            encryption_config=aws.eks.ClusterEncryptionConfigArgs(
                provider=aws.eks.ClusterEncryptionConfigProviderArgs(key_arn=key.arn), resources=["secrets"]
            ),
            enabled_cluster_log_types=["api", "audit", "authenticator"],
            opts=child,
        )
        self.name, self.endpoint = cluster.name, cluster.endpoint
        self.security_group_id = cluster.vpc_config.apply(lambda vpc: vpc.cluster_security_group_id)
        self.node_role = service_role("nodes", "ec2.amazonaws.com", NODE_POLICIES, child)
        system = aws.eks.NodeGroup(
            "system",
            cluster_name=cluster.name,
            node_role_arn=self.node_role.arn,
            subnet_ids=[network.node_subnet_id],
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
                opts=pulumi.ResourceOptions(parent=self, depends_on=[system]),
            )
        self.register_outputs({"name": self.name, "endpoint": self.endpoint})
