"""A Kubernetes API by `kubectl`, which knows every way to log in: raw objects, lists in pages, one clear error.

Inside a pod `kubectl` takes the pod's service account; then there is no context.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.json_text import json_text
from clusterctl.targets.base import Unreachable
from clusterctl.targets.kubernetes_errors import NotThere, failure

PAGE = 500
"""Objects in an answer; the API server keeps the rest for five minutes."""
CALL_SECONDS = 10.0
WATCH_SECONDS = 2
"""For the API server to tell what it remembers, which it does at once."""
Object = dict[str, Any]


class Kubernetes:
    """A context of the user's kubeconfig, and the namespace of it where our objects live."""

    def __init__(self, context: str, *, namespace: str = "", kubeconfig: str = "", program: str = "kubectl") -> None:
        """context: empty = in a pod, or the current one.  namespace: empty = the context's own."""
        self.context, self._program = context, program
        self._options = [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
        self._options += [f"--context={context}"] if context else []
        self._namespace = namespace

    @property
    def name(self) -> str:
        """The place as messages call it."""
        return f"kubernetes:{self.context}" if self.context else "this cluster"

    @property
    def namespace(self) -> str:
        """As the context says, else `default`."""
        if not self._namespace:
            shown = "jsonpath={..namespace}"
            said = self._kubectl("config", "view", "--minify", "-o", shown) if self.context else ""
            self._namespace = said.split()[0] if said else "default"
        return self._namespace

    @cached_property
    def version(self) -> Object:
        """Of the API server: `major`, `minor`."""
        return self._raw("/version")

    def contexts(self) -> list[str]:
        """Names of the contexts that the kubeconfig has."""
        return self._kubectl("config", "get-contexts", "-o", "name").split()

    def get(self, kind: str, name: str) -> Object | None:
        """An object of the namespace; None where there is none.  kind: as in a path, `apps/v1/deployments`."""
        try:
            return self._raw(self.path(kind, name))
        except NotThere:
            return None

    def items(self, kind: str, **selectors: str) -> Iterator[Object]:
        """Objects of the namespace in pages, each as the API gives it: a typed client takes seven times as long.

        selectors: `labelSelector`, `fieldSelector`.
        """
        yield from self.pages(self.path(kind), **selectors)

    def pages(self, path: str, **parameters: str) -> Iterator[Object]:
        """All items of a path, `/api/v1/nodes`."""
        more = ""
        while True:
            asked = {"limit": str(PAGE), **parameters} | ({"continue": more} if more else {})
            answer = self._raw(f"{path}?{urlencode(asked)}")
            yield from answer["items"]
            more = answer["metadata"].get("continue", "")
            if not more:
                return

    def deleted(self, kind: str, version: str, **selectors: str) -> list[Object]:
        """Objects that were deleted after a version of their listing, as they were last; empty where the API server has
        forgotten them: it remembers what has changed for a minute or more, as long as it runs.
        """
        asked = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(WATCH_SECONDS), **selectors}
        with contextlib.suppress(NotThere):
            said = self._checked("get", "--raw", f"{self.path(kind)}?{urlencode(asked)}")
            events = [json.loads(line) for line in said.splitlines() if line.strip()]
            return [event["object"] for event in events if event["type"] == "DELETED"]
        return []

    def create(self, item: Object) -> Object:
        """Create one.  Raises AlreadyThere."""
        return self._sent("create", item)

    def replace(self, item: Object) -> Object:
        """Replace one that is as it was when it was read.  Raises Conflict, NotThere."""
        return self._sent("replace", item)

    def apply(self, items: Sequence[Object], *, dry_run: bool = False) -> None:
        """Make it so, by the server; fields that others own are left to them."""
        options = ["--server-side", "--force-conflicts", "--field-manager=clusterctl", "-f", "-"]
        self._kubectl("apply", *options, *(["--dry-run=server"] if dry_run else []), given=_list(items), seconds=60.0)

    def patch(self, kind: str, name: str, change: Mapping[str, Any], *, subresource: str = "") -> None:
        """Merge a change into an object."""
        options = [f"--subresource={subresource}"] if subresource else []
        self._kubectl("patch", _kind(kind), name, *self._inside(), *options, "--type=merge", "-p", json_text(change))

    def delete(self, kind: str, *, selector: str = "", name: str = "", force: bool = False) -> None:
        """Begin to delete one, or in one call all that a selector finds; what is gone already is success."""
        options = {"propagationPolicy": "Background"} | ({"gracePeriodSeconds": "0"} if force else {})
        options |= {} if name else {"labelSelector": selector}
        with contextlib.suppress(NotThere):
            self._kubectl("delete", "--raw", f"{self.path(kind, name)}?{urlencode(options)}", seconds=60.0)

    def may(self, verb: str, resource: str) -> bool:
        """Whether this user may do it in the namespace."""
        said = self._run("auth", "can-i", verb, resource, *self._inside())
        if said.returncode not in {0, 1} or not said.stdout.strip():
            raise failure(self.name, said.stderr)
        return said.stdout.strip().startswith(b"yes")

    def exec(self, pod: str, command: Sequence[str], *, stdin: bytes, seconds: float) -> tuple[int, bytes, str]:
        """(exit code, output, errors) of a command in a pod."""
        ended = self._run("exec", "-i", *self._inside(), pod, "--", *command, given=stdin, seconds=seconds)
        return ended.returncode, ended.stdout, ended.stderr.decode("utf-8", "replace")

    def logs(self, pod: str, *, since: str = "", previous: bool = False) -> bytes:
        """Output of a pod, each line with its time, from a time on."""
        options = [f"--since-time={since}"] if since else []
        options += ["--previous"] if previous else []
        return self._checked("logs", pod, *self._inside(), "--timestamps", *options)

    def path(self, kind: str, name: str = "") -> str:
        """`v1/pods` -> /api/v1/namespaces/NS/pods."""
        version, _, plural = kind.rpartition("/")
        root = "/api" if "/" not in version else "/apis"
        return f"{root}/{version}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def _inside(self) -> list[str]:
        return [f"--namespace={self.namespace}"]

    def _raw(self, path: str) -> Object:
        answer: Object = json.loads(self._checked("get", "--raw", path))
        return answer

    def _sent(self, verb: str, item: Object) -> Object:
        answer: Object = json.loads(self._kubectl(verb, "-o", "json", *self._inside(), "-f", "-", given=_list([item])))
        return answer["items"][0] if answer["kind"] == "List" else answer

    def _kubectl(self, *words: str, given: bytes = b"", seconds: float = CALL_SECONDS) -> str:
        return self._checked(*words, given=given, seconds=seconds).decode("utf-8", "replace")

    def _checked(self, *words: str, given: bytes = b"", seconds: float = CALL_SECONDS) -> bytes:
        ended = self._run(*words, given=given, seconds=seconds)
        if ended.returncode != 0:
            raise failure(self.name, ended.stderr)
        return ended.stdout

    def _run(
        self, *words: str, given: bytes = b"", seconds: float = CALL_SECONDS
    ) -> subprocess.CompletedProcess[bytes]:
        """Raises Unreachable where it does not answer in time, ClusterctlError where there is no kubectl."""
        program = shutil.which(self._program)
        if program is None:
            hint = "https://kubernetes.io/docs/tasks/tools; it must be on the PATH"
            raise ClusterctlError(f"{self.name} needs kubectl, which is not installed", hint=hint)
        try:
            return subprocess.run(  # noqa: S603 - a list, no shell
                [program, *self._options, *words], input=given, capture_output=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Unreachable(f"{self.name} can't be asked: no answer within {seconds:.0f} s") from error


def require_context(api: Kubernetes) -> None:
    """Raises SpecError for a context that the kubeconfig does not have."""
    known = api.contexts()
    if api.context not in known:
        has = ", ".join(known[:10]) or "none"
        hint = "`kubectl config get-contexts` lists them; KUBECONFIG names another file"
        raise SpecError(f"{api.name}: no such context in the kubeconfig, which has: {has}", hint=hint)


def _list(items: Sequence[Object]) -> bytes:
    return json_text({"apiVersion": "v1", "kind": "List", "items": list(items)}).encode()


def _kind(path: str) -> str:
    """`apps/v1/deployments` -> `deployments.v1.apps`, as kubectl wants it."""
    *version, plural = path.split("/")
    return plural if len(version) < 2 else f"{plural}.{version[1]}.{version[0]}"
