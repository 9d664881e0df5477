"""Serve a reward model as an outcome critic: `python clusterctl_serve_critic.py --model FOLDER --port N`.

Answers `POST /classify` as vLLM does (`vllm serve FOLDER --runner pooling`), with transformers on CPUs.
"""

from __future__ import annotations

import argparse
import http.server
import json
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

MOST_TOKENS = 4096
MOST_BYTES = 64 << 20

Classify = Callable[[Sequence[str]], list[float]]


def load(folder: str) -> Classify:
    """Texts -> the chance that each passes: the sigmoid of its score."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1).float().eval()
    one_by_one = threading.Lock()

    def classify(texts: Sequence[str]) -> list[float]:
        chances = []
        with one_by_one, torch.no_grad():
            for text in texts:
                tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=MOST_TOKENS)
                tokens.pop("token_type_ids", None)
                chances.append(float(torch.sigmoid(model(**tokens).logits[0, 0])))
        return chances

    return classify


def handler(classify: Classify) -> type[http.server.BaseHTTPRequestHandler]:
    """Answers /health and /classify."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """It is ready once it listens."""
            self._send(200 if self.path == "/health" else 404, {})

        def do_POST(self) -> None:
            """Chances, in the order of the question."""
            try:
                length = int(self.headers.get("Content-Length", 0))
                said = json.loads(self.rfile.read(min(length, MOST_BYTES)))
                texts = [said["input"]] if isinstance(said["input"], str) else list(said["input"])
            except (ValueError, KeyError, TypeError) as error:
                self._send(400, {"error": str(error)})
                return
            rows = [
                {"index": index, "label": "LABEL_0", "probs": [chance], "num_classes": 1}
                for index, chance in enumerate(classify(texts))
            ]
            self._send(200, {"object": "list", "data": rows})

        def log_message(self, *_: Any) -> None:
            """Nothing per request."""

        def _send(self, status: int, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder that `trl reward` has written")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    server = http.server.ThreadingHTTPServer((given.host, given.port), handler(load(given.model)))
    sys.stdout.write(f"serving {given.model} on {given.host}:{given.port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
