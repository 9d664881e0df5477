"""Run programs in the sandboxes of a run: SandboxFusion's `POST /run_code` on servers that ask for a token.

CLUSTERCTL_SANDBOXES: URLs joined by commas, CLUSTERCTL_SANDBOX_TOKEN_FILE: file with the token.  `python
clusterctl_sandboxes.py PORT` serves them as one on loopback, without a token, for programs that can send none.
"""

import http.server
import json
import os
import sys

from clusterctl_http import ServerAway, ServerRefused, post_json

PATIENCE_SECONDS = 120.0
"""How long all servers may be busy or gone before a program is left without a verdict."""
REQUEST_SECONDS = 300.0
LONGEST_PAUSE_SECONDS = 5.0
"""Between two questions: a queue that is full has room within seconds."""


def run_code(code, language="python", run_timeout=10.0, **more):
    """SandboxFusion's answer as a dictionary; None where no server gives one in time."""
    return run_request({"code": code, "language": language, "run_timeout": run_timeout, **more})


def run_request(question):
    """The same for a whole request.  Raises ValueError for one that the servers refuse."""
    servers = os.environ["CLUSTERCTL_SANDBOXES"].split(",")
    try:
        return post_json(
            servers,
            "/run_code",
            question,
            patience_seconds=PATIENCE_SECONDS,
            timeout_seconds=REQUEST_SECONDS,
            longest_pause_seconds=LONGEST_PAUSE_SECONDS,
            headers=_headers(),
        )
    except ServerRefused as error:
        raise ValueError(f"the sandbox refused a program: {error}") from error
    except ServerAway:
        return None


def _headers():
    path = os.environ.get("CLUSTERCTL_SANDBOX_TOKEN_FILE")
    if not path or not os.path.exists(path):
        return {}
    with open(path, encoding="ascii") as file:
        return {"Authorization": f"Bearer {file.read().strip()}"}


class _Forward(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        try:
            answer = run_request(json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0)))))
            status = 200 if answer is not None else 503
        except ValueError as error:
            answer, status = {"message": str(error)}, 422
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Forward).serve_forever()
