"""What every part of a fleet on Azure needs: its tags, and rights of an identity on one thing."""

from __future__ import annotations

import pulumi
from pulumi_azure_native import authorization, managedidentity

from infra.node_fleet import Fleet


def azure_tags(fleet: Fleet) -> dict[str, str]:
    """The fleet's tags; names of Azure's tags may not hold a slash."""
    return {name.replace("/", "."): value for name, value in fleet.tags.items()}


def may(
    name: str,
    identity: managedidentity.UserAssignedIdentity,
    role: str,
    scope: pulumi.Input[str],
    options: pulumi.ResourceOptions,
) -> authorization.RoleAssignment:
    """Gives an identity one of Azure's own roles, by the role's id, on one thing and nothing else."""
    client = authorization.get_client_config_output(opts=pulumi.InvokeOutputOptions(parent=identity))
    return authorization.RoleAssignment(
        name,
        principal_id=identity.principal_id,
        principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
        role_definition_id=pulumi.Output.format(
            "/subscriptions/{0}/providers/Microsoft.Authorization/roleDefinitions/" + role, client.subscription_id
        ),
        scope=scope,
        opts=options,
    )
