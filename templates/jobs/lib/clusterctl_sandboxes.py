"""Run programs in the sandboxes of a run: SandboxFusion's `POST /run_code` on servers that ask for a token.

CLUSTERCTL_SANDBOXES: URLs joined by commas, CLUSTERCTL_SANDBOX_TOKEN_FILE: file with the token.  `python
clusterctl_sandboxes.py PORT` serves them as one on loopback, without a token, for programs that can send none.
"""

import http.server
import itertools
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request

PATIENCE_SECONDS = 120.0
"""How long all servers may be busy or gone before a program is left without a verdict."""
REQUEST_SECONDS = 300.0
_turn = itertools.count(random.randrange(1000))


def run_code(code, language="python", run_timeout=10.0, **more):
    """SandboxFusion's answer as a dictionary; None where no server gives one in time."""
    return run_request({"code": code, "language": language, "run_timeout": run_timeout, **more})


def run_request(question):
    """The same for a whole request.  Raises ValueError for one that the servers refuse."""
    body, deadline, pause = json.dumps(question).encode(), time.monotonic() + PATIENCE_SECONDS, 0.1
    while time.monotonic() < deadline:
        try:
            return json.loads(_post(body))
        except urllib.error.HTTPError as error:
            if error.code != 429 and error.code < 500:
                raise ValueError(f"the sandbox refused a program: HTTP status {error.code}") from error
        except (OSError, ValueError):
            pass  # the next one may answer
        time.sleep(random.uniform(0.0, pause))
        pause = min(2.0 * pause, 5.0)
    return None


def _post(body):
    servers = os.environ["CLUSTERCTL_SANDBOXES"].split(",")
    request = urllib.request.Request(f"{servers[next(_turn) % len(servers)]}/run_code", body, _headers())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=REQUEST_SECONDS) as answer:
        return answer.read()


def _headers():
    path = os.environ.get("CLUSTERCTL_SANDBOX_TOKEN_FILE")
    headers = {"Content-Type": "application/json"}
    if path and os.path.exists(path):
        with open(path, encoding="ascii") as file:
            headers["Authorization"] = f"Bearer {file.read().strip()}"
    return headers


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
