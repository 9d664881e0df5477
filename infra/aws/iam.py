"""Who may do what: policies as AWS reads them, and roles that one service of AWS may take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

POD_SERVICE = "pods.eks.amazonaws.com"
Account = tuple[str, str]
"""Namespace and name of a service account."""


def policy(*statements: Mapping[str, object]) -> str:
    """Statements as the text that AWS wants."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def service_role(
    name: str, service: str, policies: Sequence[str], options: pulumi.ResourceOptions, *, for_pods: bool = False
) -> aws.iam.Role:
    """A role that one service of AWS may take, with policies that AWS keeps."""
    actions = ["sts:AssumeRole", *(["sts:TagSession"] if for_pods else [])]
    trust = policy({"Effect": "Allow", "Action": actions, "Principal": {"Service": service}})
    role = aws.iam.Role(name, assume_role_policy=trust, opts=options)
    for each in policies:
        aws.iam.RolePolicyAttachment(
            f"{name}-{each.rpartition('/')[2]}",
            role=role.name,
            policy_arn=f"arn:aws:iam::aws:policy/{each}",
            opts=options,
        )
    return role


def let_pods(
    name: str, cluster: pulumi.Input[str], account: Account, role: aws.iam.Role, options: pulumi.ResourceOptions
) -> None:
    """Pods of one service account, and no node, may take the role."""
    aws.eks.PodIdentityAssociation(
        name, cluster_name=cluster, namespace=account[0], service_account=account[1], role_arn=role.arn, opts=options
    )


def role_of_pods(
    name: str, cluster: pulumi.Input[str], account: Account, rights: pulumi.Input[str], options: pulumi.ResourceOptions
) -> None:
    """Gives pods of one service account the rights of a policy, and nothing else of the account."""
    role = service_role(name, POD_SERVICE, (), options, for_pods=True)
    aws.iam.RolePolicy(name, role=role.id, policy=rights, opts=options)
    let_pods(name, cluster, account, role, options)
