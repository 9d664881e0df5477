"""What kubectl says, as one message with the way on."""

from __future__ import annotations

import pytest

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.targets.base import Unreachable
from clusterctl.targets.kubernetes_api import Kubernetes
from clusterctl.targets.kubernetes_errors import Conflict, Forbidden, NotThere, failure


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ('error: context "nowhere" does not exist', SpecError, 'context "nowhere" does not exist'),
        ('Error from server (NotFound): pods "x" not found', NotThere, 'pods "x" not found'),
        ('Error from server (Conflict): Operation cannot be fulfilled on leases "x"', Conflict, "Operation cannot be"),
        ("Unable to connect to the server: dial tcp 10.0.0.1:443: i/o timeout", Unreachable, "can't be reached"),
        ("The connection to the server 10.0.0.1:443 was refused - did you specify", Unreachable, "can't be reached"),
        ("error: You must be logged in to the server (Unauthorized)", Unreachable, "the login is not valid"),
        ("Unable to connect to the server: getting credentials: exec: executable aws failed", Unreachable, "the login"),
        ("error: the server doesn't have a resource type", ClusterctlError, "doesn't have a resource type"),
        ("", ClusterctlError, "kubectl gave no reason"),
    ],
)
def test_each_failure_is_an_error_of_its_own_kind(said: str, kind: type[ClusterctlError], message: str) -> None:
    error = failure("kubernetes:prod", said.encode())
    assert type(error) is kind
    assert message in error.message


def test_a_missing_right_names_who_verb_what_and_how_to_grant_it() -> None:
    said = (
        'Error from server (Forbidden): deployments.apps is forbidden: User "ann" cannot create resource "deployments" '
        'in API group "apps" in the namespace "rl"'
    )
    error = failure("kubernetes:prod", said.encode())
    assert isinstance(error, Forbidden)
    assert error.message == "kubernetes:prod: `ann` may not create deployments in the namespace `rl`"
    assert "kubectl create role clusterctl --namespace=rl --verb=create --resource=deployments.apps" in str(error.hint)


def test_without_kubectl_it_says_what_to_install() -> None:
    with pytest.raises(ClusterctlError, match="needs kubectl"):
        Kubernetes("prod", namespace="rl", program="no-such-kubectl").get("v1/pods", "x")


def test_a_path_is_where_the_api_keeps_a_kind() -> None:
    place = Kubernetes("prod", namespace="rl")
    assert place.path("v1/pods") == "/api/v1/namespaces/rl/pods"
    assert place.path("apps/v1/deployments", "x") == "/apis/apps/v1/namespaces/rl/deployments/x"
