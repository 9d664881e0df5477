"""What kubectl says, as one clear error with the way on."""

from __future__ import annotations

import re

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.targets.base import Unreachable


class NotThere(ClusterctlError):  # noqa: N818 - an answer more than an error
    """There is no such object."""


class AlreadyThere(ClusterctlError):  # noqa: N818 - an answer more than an error
    """There is one of this name."""


class Conflict(ClusterctlError):  # noqa: N818 - an answer more than an error
    """Somebody has changed the object since it was read."""


class Forbidden(ClusterctlError):  # noqa: N818 - the word of the API
    """This user may not do that."""


ANSWERS = {
    "NotFound": NotThere,
    "Expired": NotThere,
    "Gone": NotThere,
    "AlreadyExists": AlreadyThere,
    "Conflict": Conflict,
}
ASK_FOR_ROLE = (
    "an administrator grants you the same rights, or makes the role of templates/kubernetes/place.yaml.j2 for you"
)
AWAY = re.compile(
    "unable to connect to the server|connection refused|no route to host|i/o timeout|tls handshake|was refused"
    "|connection reset|ServiceUnavailable|InternalError|TooManyRequests|Timeout|unexpected EOF|no such host"
    "|network is unreachable|etcdserver|client connection lost|currently unable to handle the request",
    re.IGNORECASE,
)
"""The API server, or the way to it, is away for now."""
LOGGED_OUT = re.compile(
    "Unauthorized|must be logged in|getting credentials|token (has )?expired|certificate has expired", re.IGNORECASE
)
FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)"(?: in API group "(?P<group>[^"]*)")?'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)
ESCALATES = re.compile(
    r'(?P<kind>\S+) "(?P<name>[^"]*)" is forbidden: user "(?P<user>[^"]*)".{0,2000}?attempting to grant'
    r" RBAC permissions.{0,300}?not currently held:\s*(?P<rules>.{0,2000})",
    re.DOTALL,
)


def failure(place: str, stderr: bytes) -> ClusterctlError:
    """The error of a call that has failed.  place: as messages call it."""
    said = stderr.decode("utf-8", "replace").strip()
    reason = _reason(said)
    for code, kind in ANSWERS.items():
        if f"({code})" in said:
            return kind(f"{place}: {reason}")
    if "does not exist" in said and "context" in said:
        return SpecError(f"{place}: {reason}", hint="`kubectl config get-contexts` lists the contexts")
    if (forbidden := _forbidden(place, said)) is not None:
        return forbidden
    if LOGGED_OUT.search(said):
        return Unreachable(f"{place}: the login is not valid: {reason}", hint="log in again, then repeat the command")
    if AWAY.search(said):
        return Unreachable(f"{place} can't be reached: {reason}", hint="nothing was changed; repeat the command")
    return ClusterctlError(f"{place}: {reason}")


def _forbidden(place: str, said: str) -> Forbidden | None:
    if match := FORBIDDEN.search(said):
        return Forbidden(f"{place}: {_who(match)}", hint=_right(match))
    if match := ESCALATES.search(said):
        return Forbidden(f"{place}: {_grants(match)}", hint=ASK_FOR_ROLE)
    return None


def _reason(said: str) -> str:
    """The last line, without the words that open every line."""
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(("E1", "W1", "I1", "Warning:"))]
    words = lines[-1] if lines else said[-300:] or "kubectl gave no reason"
    return re.sub(r"^(error: |Error from server( \(\w+\))?: |Error: )+", "", words)[:400]


def _who(match: re.Match[str]) -> str:
    where = f" in the namespace `{match['namespace']}`" if match["namespace"] else ""
    return f"`{match['user']}` may not {match['verb']} {match['resource']}{where}"


def _grants(match: re.Match[str]) -> str:
    resources = ", ".join(re.findall(r'Resources:\["([^]]*)"\]', match["rules"])).replace('"', "")
    lacks = f", as it lacks rights on {resources}" if resources else ""
    return (
        f"`{match['user']}` may not make the {match['kind'].split('.')[0][:-1]} `{match['name']}` of supervisors{lacks}"
    )


def _right(match: re.Match[str]) -> str:
    kind = match["resource"].partition("/")[0] + (f".{match['group']}" if match["group"] else "")
    name = "clusterctl"
    scope = f"--namespace={match['namespace']} " if match["namespace"] else ""
    role = "role" if match["namespace"] else "clusterrole"
    grant = f"`kubectl create {role} {name} {scope}--verb={match['verb']} --resource={kind}`"
    return f"an administrator grants it: {grant} and a binding; docs/kubernetes.md lists all rights"
