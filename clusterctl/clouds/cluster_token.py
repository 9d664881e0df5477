"""A login to a cluster's API by the credentials of its cloud.

`python -m clusterctl.clouds.cluster_token CLOUD REGION CLUSTER`: `kubectl` calls it, so that no cloud's own command
need be installed (https://kubernetes.io/docs/reference/config-api/client-authentication.v1/).
"""

from __future__ import annotations

import base64
import sys
from datetime import UTC, datetime, timedelta

from clusterctl.clouds.log_in import LOG_IN
from clusterctl.errors import ClusterctlError
from clusterctl.json_text import json_text

EKS_SECONDS, URL_SECONDS = 14 * 60, 60
"""EKS takes a token for 15 minutes, whatever its URL says: kubernetes-sigs/aws-iam-authenticator, README."""
AKS_SERVER = "6dae42f8-4368-4678-94ff-3960e28e3630"
"""Application of AKS in Microsoft Entra: https://learn.microsoft.com/azure/aks/kubelogin-authentication"""
GOOGLE_SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email")


def token(cloud: str, region: str, cluster: str) -> tuple[str, datetime]:
    """A token and until when it may be used.  Raises ClusterctlError where there are no credentials."""
    try:
        if cloud == "aws":
            return _eks(region, cluster)
        return _gke() if cloud == "gcp" else _aks()
    except ImportError as error:
        hint = f"pip install 'clusterctl[{cloud}]' brings it"
        raise ClusterctlError(f"{cloud} needs a library: {error}", hint=hint) from error


def _eks(region: str, cluster: str) -> tuple[str, datetime]:
    """A signed question to STS who we are, which EKS asks in our name."""
    import boto3
    from botocore.exceptions import BotoCoreError
    from botocore.signers import RequestSigner

    try:
        session = boto3.session.Session()
        sts = session.client("sts", region_name=region)
        signer = RequestSigner(
            sts.meta.service_model.service_id, region, "sts", "v4", session.get_credentials(), session.events
        )
        asked = {
            "method": "GET",
            "url": f"{sts.meta.endpoint_url}/?Action=GetCallerIdentity&Version=2011-06-15",
            "body": {},
            "headers": {"x-k8s-aws-id": cluster},
            "context": {},
        }
        url = signer.generate_presigned_url(asked, region_name=region, expires_in=URL_SECONDS, operation_name="")
    except BotoCoreError as error:
        raise ClusterctlError(f"aws: {error}", hint=LOG_IN["aws"]) from error
    text = base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
    return f"k8s-aws-v1.{text}", datetime.now(tz=UTC) + timedelta(seconds=EKS_SECONDS)


def _gke() -> tuple[str, datetime]:
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    try:
        credentials, _ = google.auth.default(scopes=list(GOOGLE_SCOPES))
        credentials.refresh(Request())
    except GoogleAuthError as error:
        raise ClusterctlError(f"gcp: {error}", hint=LOG_IN["gcp"]) from error
    return str(credentials.token), credentials.expiry.replace(tzinfo=UTC)


def _aks() -> tuple[str, datetime]:
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import DefaultAzureCredential

    try:
        found = DefaultAzureCredential().get_token(f"{AKS_SERVER}/.default")
    except ClientAuthenticationError as error:
        raise ClusterctlError(f"azure: {error.message}", hint=LOG_IN["azure"]) from error
    return found.token, datetime.fromtimestamp(found.expires_on, tz=UTC)


def main() -> int:
    """Prints an ExecCredential; an exit code."""
    cloud, region, cluster = sys.argv[1:4]
    try:
        text, until = token(cloud, region, cluster)
    except ClusterctlError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return 1
    status = {"token": text, "expirationTimestamp": f"{until:%Y-%m-%dT%H:%M:%SZ}"}
    row = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    sys.stdout.write(json_text(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
