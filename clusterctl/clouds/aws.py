"""An account of AWS.  Credentials, region and endpoints are boto3's own: AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL …"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from clusterctl.clouds import aws_fleet, aws_listing, aws_quotas, aws_removal
from clusterctl.clouds.aws_session import AwsSession
from clusterctl.clouds.base import Cloud, CloudInstance, CloudResource, Found, NotAllowed, NotAsked, Quota
from clusterctl.fleet.outputs import FleetOutputs, FleetPool
from planners.plan.value import Plan

AT_ONCE = 8
"""Regions that are asked at the same time."""


def connect() -> Cloud:
    """The account of the user's credentials.  Nothing is asked yet."""
    return Aws(AwsSession())


class Aws:
    """See `Cloud`."""

    name = "aws"

    def __init__(self, session: AwsSession) -> None:
        self._session = session

    def identity(self) -> str:
        """The account that pays."""
        return str(self._session.call(self._session.client("sts").get_caller_identity)["Account"])

    def regions(self) -> Sequence[str]:
        """Those that the account has enabled."""
        said = self._session.call(self._session.client("ec2").describe_regions)
        return sorted(row["RegionName"] for row in said["Regions"])

    def resources(self, regions: Sequence[str] | None, owner: str | None) -> Found:
        """Regions are asked side by side; a region that the account has not enabled is said, not skipped."""
        account, refused = self.identity(), []
        try:
            enabled = set(self.regions())
        except NotAllowed as error:
            enabled = set(regions or [self._session.region])
            reason = f"which regions are enabled is not known: {error.message}"
            refused = [] if regions else [NotAsked(cloud="aws", place="other regions", reason=reason)]
        asked = sorted(enabled if regions is None else enabled & set(regions))
        off = sorted(set(regions or ()) - enabled)
        refused += [NotAsked(cloud="aws", place=each, reason="not enabled in this account") for each in off]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            founds = list(pool.map(lambda region: aws_listing.list_region(self._session, region, owner), asked))
        founds.append(aws_listing.list_global(self._session, account, owner))
        return Found(
            resources=aws_listing.in_order(_unique(item for found in founds for item in found.resources)),
            not_asked=(*refused, *(place for found in founds for place in found.not_asked)),
            asked=tuple(asked),
        )

    def remove(self, resource: CloudResource) -> None:
        """See `Cloud`."""
        aws_removal.remove(self._session, resource)

    def instances(self, fleet: FleetOutputs) -> Sequence[CloudInstance]:
        """See `Cloud`."""
        return tuple(aws_fleet.instances(self._session, fleet))

    def resize(self, fleet: FleetOutputs, pool: FleetPool, nodes: int) -> None:
        """See `Cloud`."""
        aws_fleet.resize(self._session, fleet, pool, nodes)

    def pool_problem(self, fleet: FleetOutputs, pool: FleetPool) -> str:
        """See `Cloud`."""
        return aws_fleet.pool_problem(self._session, fleet, pool)

    def quotas(self, plan: Plan) -> Sequence[Quota]:
        """See `Cloud`."""
        return tuple(aws_quotas.quotas(self._session, plan))


def _unique(items: Iterable[CloudResource]) -> Iterable[CloudResource]:
    """A young bucket may be known twice: by itself and by the tagging API of its region."""
    return {(item.kind, item.id): item for item in items}.values()
