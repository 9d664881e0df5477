"""A subscription of Azure.  Credentials are azure-identity's: `az login`, AZURE_CLIENT_ID …, a managed identity."""

from __future__ import annotations

from collections.abc import Sequence

from clusterctl.clouds import azure_fleet, azure_listing, azure_quotas
from clusterctl.clouds.azure_session import SUBSCRIPTIONS_VERSION, AzureSession, is_gone
from clusterctl.clouds.base import Cloud, CloudError, CloudInstance, CloudResource, Found, Quota
from clusterctl.fleet.outputs import FleetOutputs, FleetPool
from planners.plan.value import Plan


def connect() -> Cloud:
    """The subscription of the user's credentials.  Nothing is asked yet."""
    return Azure()


class Azure:
    """See `Cloud`."""

    name = "azure"

    def __init__(self) -> None:
        self._made: AzureSession | None = None

    @property
    def _session(self) -> AzureSession:
        if self._made is None:
            self._made = AzureSession()
        return self._made

    def identity(self) -> str:
        """The subscription that pays."""
        session = self._session
        return str(session.ask("GET", session.root, SUBSCRIPTIONS_VERSION)["subscriptionId"])

    def regions(self) -> Sequence[str]:
        """Those that the subscription can use."""
        session = self._session
        return sorted(row["name"] for row in session.pages(f"{session.root}/locations", SUBSCRIPTIONS_VERSION))

    def resources(self, regions: Sequence[str] | None, owner: str | None) -> Found:
        """See `Cloud`."""
        return azure_listing.find(self._session, None if regions is None else set(regions), owner)

    def remove(self, resource: CloudResource) -> None:
        """See `Cloud`."""
        kind = azure_listing.BY_NAME.get(resource.kind)
        if kind is None or not resource.command:
            raise CloudError(f"{resource.kind} {resource.name}: {resource.note}", hint="the portal of Azure shows it")
        try:
            self._session.ask("DELETE", resource.id, kind.version)
        except CloudError as error:
            if not is_gone(error):
                raise

    def instances(self, fleet: FleetOutputs) -> Sequence[CloudInstance]:
        """Live ones: Azure shows no machine that has ended."""
        return tuple(azure_fleet.instances(self._session, fleet))

    def resize(self, fleet: FleetOutputs, pool: FleetPool, nodes: int) -> None:
        """See `Cloud`."""
        azure_fleet.resize(self._session, fleet, pool, nodes)

    def pool_problem(self, fleet: FleetOutputs, pool: FleetPool) -> str:
        """See `Cloud`."""
        return azure_fleet.pool_problem(self._session, fleet, pool)

    def quotas(self, plan: Plan) -> Sequence[Quota]:
        """See `Cloud`."""
        return tuple(azure_quotas.quotas(self._session, plan))
