"""What the run's supervisor may do from within the cluster: resize the fleet's pools and see their machines."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

from infra.aws.eks import Eks
from infra.aws.iam import policy, role_of_pods
from infra.node_fleet import SUPERVISOR, Fleet

RESIZE = ("eks:DescribeNodegroup", "eks:UpdateNodegroupConfig")
LOOK = ("autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeScalingActivities", "ec2:DescribeInstances")
"""AWS knows no right to describe one group alone: https://docs.aws.amazon.com/service-authorization"""


def let_supervisor_resize(
    fleet: Fleet, eks: Eks, groups: Mapping[str, pulumi.Output[str]], options: pulumi.ResourceOptions
) -> None:
    """Gives the supervisor's pods these rights, and no others."""
    account = aws.get_caller_identity_output(opts=pulumi.InvokeOutputOptions(provider=options.provider)).account_id
    rights = pulumi.Output.all(account, eks.name, *groups.values()).apply(lambda found: rights_on(fleet.region, *found))
    role_of_pods("supervisor", eks.name, (fleet.name_in_cluster, SUPERVISOR), rights, options)


def rights_on(region: str, account: str, cluster: str, *groups: str) -> str:
    """The policy: exactly these node groups; their machines in this region."""
    names = [f"arn:aws:eks:{region}:{account}:nodegroup/{cluster}/{group}/*" for group in groups]
    here = {"StringEquals": {"aws:RequestedRegion": region}}
    return policy(
        {"Effect": "Allow", "Action": RESIZE, "Resource": names},
        {"Effect": "Allow", "Action": LOOK, "Resource": "*", "Condition": here},
    )
