"""A project of Google Cloud.  Credentials and project are those of Google's own tools: GOOGLE_APPLICATION_CREDENTIALS,
`gcloud auth application-default login`, GOOGLE_CLOUD_PROJECT."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from clusterctl.clouds import gcp_fleet, gcp_listing, gcp_quotas
from clusterctl.clouds.base import Cloud, CloudError, CloudInstance, CloudResource, Found, Quota
from clusterctl.clouds.gcp_session import GoogleSession, is_gone
from clusterctl.fleet.outputs import FleetOutputs, FleetPool
from planners.plan.value import Plan


def connect() -> Cloud:
    """The project of the user's credentials.  Nothing is asked yet."""
    return Gcp()


class Gcp:
    """See `Cloud`."""

    name = "gcp"

    def __init__(self) -> None:
        self._made: GoogleSession | None = None

    @property
    def _session(self) -> GoogleSession:
        if self._made is None:
            self._made = GoogleSession()
        return self._made

    def identity(self) -> str:
        """The project that pays."""
        session = self._session
        session.call(session.compute("Projects").get, project=session.project)
        return session.project

    def regions(self) -> Sequence[str]:
        """Those that are up."""
        session = self._session
        return sorted(row.name for row in session.rows(session.compute("Regions").list, project=session.project))

    def resources(self, regions: Sequence[str] | None, owner: str | None) -> Found:
        """See `Cloud`."""
        return gcp_listing.find(self._session, regions, owner)

    def remove(self, resource: CloudResource) -> None:
        """See `Cloud`."""
        try:
            self._remove(resource)
        except CloudError as error:
            if not is_gone(error):
                raise

    def _remove(self, item: CloudResource) -> None:
        session, kind = self._session, gcp_listing.KINDS[item.kind]
        if item.kind == "cluster":
            path = f"v1/projects/{session.project}/locations/{item.region}/clusters/{item.id}"
            if session.rest("GET", "container", path).get("status") != "STOPPING":
                session.rest("DELETE", "container", path)
        elif item.kind == "service-account":
            session.rest("DELETE", "iam", f"v1/projects/{session.project}/serviceAccounts/{item.id}")
        elif item.kind == "bucket":
            path = f"storage/v1/b/{item.id}"
            for row in session.rest_pages("storage", f"{path}/o", "items", versions="true"):
                file, version = f"{path}/o/{quote(row['name'], safe='')}", {"generation": row["generation"]}
                session.rest("DELETE", "storage", file, query=version)
            session.rest("DELETE", "storage", path)
        else:
            where = {} if kind.place == "global" else {kind.place: item.region}
            act = session.compute(kind.client).delete_unary
            session.call(act, project=session.project, **where, **{kind.argument: item.id})

    def instances(self, fleet: FleetOutputs) -> Sequence[CloudInstance]:
        """Live ones: Google shows no machine that has ended."""
        return tuple(gcp_fleet.instances(self._session, fleet))

    def resize(self, fleet: FleetOutputs, pool: FleetPool, nodes: int) -> None:
        """See `Cloud`."""
        gcp_fleet.resize(self._session, fleet, pool, nodes)

    def pool_problem(self, fleet: FleetOutputs, pool: FleetPool) -> str:
        """See `Cloud`."""
        return gcp_fleet.pool_problem(self._session, fleet, pool)

    def quotas(self, plan: Plan) -> Sequence[Quota]:
        """See `Cloud`."""
        return tuple(gcp_quotas.quotas(self._session, plan))
