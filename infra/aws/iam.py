"""Who may do what: policies as AWS reads them, and roles that one service of AWS may take."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pulumi
import pulumi_aws as aws


def policy(*statements: Mapping[str, object]) -> str:
    """Statements as the text that AWS wants."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def service_role(
    name: str,
    service: str,
    policies: tuple[str, ...],
    options: pulumi.ResourceOptions,
    *,
    actions: tuple[str, ...] = ("sts:AssumeRole",),
) -> aws.iam.Role:
    """A role that one service of AWS may take, with policies that AWS keeps."""
    trust = policy({"Effect": "Allow", "Action": actions, "Principal": {"Service": service}})
    role = aws.iam.Role(name, assume_role_policy=trust, opts=options)
    for each in policies:
        aws.iam.RolePolicyAttachment(
            f"{name}-{each}", role=role.name, policy_arn=f"arn:aws:iam::aws:policy/{each}", opts=options
        )
    return role
