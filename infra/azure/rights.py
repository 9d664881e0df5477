"""Rights of an identity on one thing, and the pods that may be it."""

from __future__ import annotations

import pulumi
from pulumi_azure_native import authorization, managedidentity

from infra.node_fleet import Fleet

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
"""Azure's own role: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles"""


def subscription_of(options: pulumi.InvokeOutputOptions | None = None) -> pulumi.Output[str]:
    """Id of the subscription that pays."""
    return authorization.get_client_config_output(opts=options).subscription_id


def built_in(role: str) -> pulumi.Output[str]:
    """One of Azure's own roles, by its id."""
    return pulumi.Output.format(
        "/subscriptions/{0}/providers/Microsoft.Authorization/roleDefinitions/" + role, subscription_of()
    )


def may(
    name: str,
    identity: managedidentity.UserAssignedIdentity,
    role: pulumi.Input[str],
    scope: pulumi.Input[str],
    options: pulumi.ResourceOptions,
) -> authorization.RoleAssignment:
    """Gives an identity a role on one thing and nothing else."""
    return authorization.RoleAssignment(
        name,
        principal_id=identity.principal_id,
        principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
        role_definition_id=role,
        scope=scope,
        opts=options,
    )


def identity_of_pods(
    name: str,
    service_account: str,
    *,
    fleet: Fleet,
    group: pulumi.Input[str],
    issuer_url: pulumi.Input[str],
    options: pulumi.ResourceOptions,
) -> managedidentity.UserAssignedIdentity:
    """Who the pods of one service account are, and no node.  It has no right yet."""
    identity = managedidentity.UserAssignedIdentity(name, resource_group_name=group, tags=fleet.tags, opts=options)
    managedidentity.FederatedIdentityCredential(
        name,
        resource_group_name=group,
        resource_name_=identity.name,
        issuer=issuer_url,
        subject=f"system:serviceaccount:{fleet.name_in_cluster}:{service_account}",
        audiences=["api://AzureADTokenExchange"],
        opts=options,
    )
    return identity
