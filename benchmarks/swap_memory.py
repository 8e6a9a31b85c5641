"""Memory of `hmar serve` over many versions, each of which takes over under load.

    python benchmarks/swap_memory.py                          # about four minutes
    python benchmarks/swap_memory.py --swaps 40 --json swaps.json

Two exports of a model with random weights (K = 4 behaviours, d = 64, length 50) become the next
version in turn. Meanwhile, a client sends ten requests per second.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from load_clients import GRPC, connect
from served_process import ServedProcess
from serving_load import HISTORIES, MODEL, Swap, export_two, random_histories, request_bytes

from pipelines.runtime.terminal import prepare_keras, say

_PAUSE_SECONDS = 0.1
_SETTLING_SECONDS = 3.0


class LightLoad:
    """A client that sends a request now and then; a context manager.

    Args:
        address: HOST:PORT of gRPC.
        requests: bytes, sent in turn.
    """

    def __init__(self, address: str, requests: list[bytes]):
        self.answered = 0
        self._ask = connect(GRPC, address, MODEL)
        self._requests = requests
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> LightLoad:
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._end.set()
        self._thread.join()

    @property
    def failed(self) -> bool:
        """Whether a request has failed, after which the client stops."""
        return not self._thread.is_alive()

    def _run(self):
        while not self._end.wait(_PAUSE_SECONDS):
            self._ask(self._requests[self.answered % len(self._requests)])
            self.answered += 1


def measure(items: int, swaps: int) -> dict:
    """Measures the MiB of the server before the first swap and after each."""
    with tempfile.TemporaryDirectory() as folder:
        versions = export_two(Path(folder), items)
        waiting = [
            shutil.copytree(path, Path(folder) / f"kept-{path.parent.name}") for path in versions
        ]
        requests = [request_bytes(GRPC, row) for row in random_histories(items, HISTORIES)]
        home = versions[0].parent
        with (
            ServedProcess(home) as server,
            LightLoad(server.addresses[GRPC], requests) as load,
        ):
            time.sleep(_SETTLING_SECONDS)
            memory = [server.memory()]
            for number in range(2, swaps + 2):
                _swap(server, home, number, waiting[(number + 1) % 2])
                if load.failed:
                    raise SystemExit("a request failed.")
                memory.append(server.memory())
                say(f"version {number}: {memory[-1]:,.0f} MiB")
    return {"items": items, "swaps": swaps, "answered": load.answered, "memory": memory}


def _swap(server, home, number, version):
    swap = Swap(server, home / str(number), version)
    swap.start()
    while not swap.end:
        time.sleep(_PAUSE_SECONDS)
    time.sleep(_SETTLING_SECONDS)
    shutil.rmtree(home / str(number - 1))


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints a line, and writes JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args(arguments)
    prepare_keras(backend="tensorflow")
    results = measure(options.items, options.swaps)
    memory = np.array(results["memory"])
    slope = np.polyfit(np.arange(len(memory) // 2), memory[-(len(memory) // 2) :], 1)[0]
    print(
        f"{results['items']:,} items, {results['swaps']} swaps, {results['answered']:,} answers: "
        f"{memory[0]:,.0f} MiB before, {memory[1:].min():,.0f} to {memory.max():,.0f} after, "
        f"{memory[-1]:,.0f} at the end; {slope:+.1f} MiB per swap in the last half"
    )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
