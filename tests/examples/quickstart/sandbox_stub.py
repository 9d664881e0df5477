"""A tiny sandbox server for tests, no isolation: `POST /run_code` runs the code in a forked child of this process.

`python sandbox_stub.py PORT_FILE` serves on a free port of 127.0.0.1.  Only the harness of our own grammar runs in it.
"""

from __future__ import annotations

import http.server
import json
import socketserver
import sys
from pathlib import Path

from sandbox_worker import run_code


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        result = {"status": "Finished", "return_code": 0, "stdout": run_code(question["code"]), "stderr": ""}
        body = json.dumps({"status": "Success", "message": "", "run_result": result}).encode()
        self.send_response(200 if self.path == "/run_code" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(socketserver.ForkingMixIn, http.server.HTTPServer):
    """A child for each request, so that the harness can set timers."""

    def handle_error(self, *_: object) -> None:
        """A client that was killed doesn't wait for its answer."""


if __name__ == "__main__":
    with _Server(("127.0.0.1", 0), _Handler) as server:
        Path(sys.argv[1]).write_text(str(server.server_port), "ascii")
        server.serve_forever()
