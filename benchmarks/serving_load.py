"""`hmar serve` under load: latency, requests per second, memory, and a swap of versions.

    python benchmarks/serving_load.py                                # about ten minutes
    python benchmarks/serving_load.py --requests 5000 --front grpc --json load.json
    python benchmarks/serving_load.py --requests 6000 --rounds 6     # gRPC and REST, compared

A model with random weights (K = 4 behaviours, d = 64, length 50) is exported twice. First the
SavedModel alone is called in this process, next to one product with the item matrix, which shows
whether the matrix is copied. Then the server runs in a separate process, and its clients in
another; each client sends its next request as soon as the last one is answered. They share the
machine's cores; `taskset -c 0,1` limits them to two. Halfway through the first front's requests,
the second version is copied in and renamed to its number. The second front gets a tenth of the
requests.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from load_clients import GRPC, REST, Clients, connect
from rich import box
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table
from served_process import ServedProcess

from pipelines.runtime.terminal import prepare_keras, say

BEHAVIORS = ("view", "favourite", "cart", "buy")
DIM, LENGTH = 64, 50
HISTORIES = 256  # requested in turn
MODEL = "load"
_SWAP_SECONDS = 120.0
_MEDIANS = ("p50", "p99", "longest", "per_second", "server_cpu_ms", "client_cpu_ms")


@dataclasses.dataclass(frozen=True)
class Load:
    """What is measured.

    Args:
        items: size of the catalogue.
        clients: number of concurrent clients.
        requests: to the first front; the second gets a tenth, or as many with `rounds`.
        fronts: `GRPC`, `REST` or both.
        calls: samples of the model alone.
        rounds: number of rounds in which the fronts take turns; 0 for one after the other, with a
            swap.
    """

    items: int
    clients: int
    requests: int
    fronts: tuple[str, ...] = (GRPC, REST)
    calls: int = 200
    rounds: int = 0


def export_two(folder: Path, items: int) -> tuple[Path, Path]:
    """Exports two versions with different weights: one to serve, one that waits elsewhere."""
    import keras

    from hmar_keras import HMAR, Behaviors, HMARConfig
    from pipelines.export import export

    config = HMARConfig(items, Behaviors(BEHAVIORS, BEHAVIORS[-1]), dim=DIM, max_length=LENGTH)
    names = np.array([f"item-{number}" for number in range(1, items + 1)])
    made = []
    for seed, place in enumerate((MODEL, "next")):
        keras.utils.set_random_seed(seed)
        popularity = np.random.default_rng(seed).random(items + 1)
        made.append(export(HMAR(config), names, popularity, folder / place, {}))
    return made[0], made[1]


def quantiles(milliseconds) -> dict[str, float]:
    """Returns median, p99 and longest."""
    return {
        "p50": float(np.median(milliseconds)),
        "p99": float(np.quantile(milliseconds, 0.99)),
        "longest": float(np.max(milliseconds)),
    }


def random_histories(items: int, count: int) -> list[list[tuple[str, str]]]:
    """Draws full histories."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(1, items + 1, (count, LENGTH))
    behaviors = rng.choice(BEHAVIORS, (count, LENGTH)).tolist()
    return [
        [(f"item-{item}", behavior) for item, behavior in zip(*row, strict=True)]
        for row in zip(numbers, behaviors, strict=True)
    ]


def columns(histories) -> tuple[np.ndarray, np.ndarray]:
    """Returns items and behaviours of histories, `[batch, events]`."""
    pairs = np.array(histories, dtype=object)
    return pairs[:, :, 0], pairs[:, :, 1]


def request_bytes(front: str, history) -> bytes:
    """Serialises a request for ten items."""
    from pipelines.export.warmup import predict_request

    if front == GRPC:
        return predict_request(MODEL, "recommend", [history]).SerializeToString()
    items, behaviors = (column.tolist() for column in columns([history]))
    asked = {"items": items, "behaviors": behaviors, "k": [10], "exclude_seen": [False]}
    return json.dumps({"signature_name": "recommend", "inputs": asked}).encode()


def answered_items(front: str, answer: bytes) -> list[str]:
    """Parses the items of an answer."""
    if front == REST:
        return json.loads(answer)["outputs"]["items"][0]
    from tensorflow_serving.apis import predict_pb2

    outputs = predict_pb2.PredictResponse.FromString(answer).outputs
    return [item.decode() for item in outputs["items"].string_val]


def measure(load: Load) -> dict:
    """Measures everything, and returns it as it is written to JSON."""
    # TensorFlow is imported inside functions, because the clients' process imports this module but
    # does not need it.
    import tensorflow as tf
    from model_alone import alone, large_operations

    histories = random_histories(load.items, HISTORIES)
    results = {**dataclasses.asdict(load), "dim": DIM, "length": LENGTH}
    results["cores"] = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        served, waiting = export_two(Path(folder), load.items)
        if load.rounds:
            with ServedProcess(served.parent) as server:
                results["in_turns"] = fronts_in_turns(server, histories, load)
            return results
        batches = {rows: tuple(map(tf.constant, columns(histories[:rows]))) for rows in (1, 64)}
        samples = alone(served, batches, DIM, load.calls)
        results["alone"] = {name: quantiles(times) for name, times in samples.items()}
        results["table_copies"] = large_operations(served, columns(histories[:1]), DIM)
        with ServedProcess(served.parent) as server:
            results["fronts"] = {}
            for place, front in enumerate(load.fronts):
                requests = [request_bytes(front, history) for history in histories]
                swap = None if place else Swap(server, served.parent / "2", waiting)
                count = max(load.clients, load.requests // 10) if place else load.requests
                found = front_results(server, front, requests, count, load.clients, swap)
                results["fronts"][front] = found
    return results


def fronts_in_turns(server: ServedProcess, histories, load: Load) -> list[dict]:
    """Returns the `front_results` of every front, round by round."""
    requests = {front: [request_bytes(front, row) for row in histories] for front in load.fronts}
    count = max(load.clients, load.requests // load.rounds)
    return [
        {
            front: front_results(server, front, requests[front], count, load.clients)
            for front in load.fronts
        }
        for _ in range(load.rounds)
    ]


class Swap:
    """The next version, put into the directory of a server.

    Args:
        server: the server, which finds it there.
        place: the directory of the new version.
        version: the version to copy to it.
    """

    def __init__(self, server: ServedProcess, place: Path, version: Path):
        self._server = server
        self._place = place
        self._version = version
        self.begin: float | None = None

    def start(self) -> None:
        """Copies the version under another name, then renames it."""
        temporary = self._place.with_name(f".{self._place.name}")
        shutil.copytree(self._version, temporary)
        self.begin = time.monotonic()
        temporary.rename(self._place)

    @property
    def end(self) -> float | None:
        """When the server started to answer from it alone; None if it does not yet."""
        before = int(self._place.name) - 1
        end = self._server.said(f"version {before} is no longer served")
        if end is None and self.begin and time.monotonic() > self.begin + _SWAP_SECONDS:
            raise SystemExit(f"hmar serve does not take over version {self._place.name}.")
        return end


def front_results(
    server: ServedProcess,
    front: str,
    requests: list[bytes],
    count: int,
    clients: int,
    swap: Swap | None = None,
) -> dict:
    """Measures one front under load, and the swap if there is one."""
    address = server.addresses[front]
    ask, cpu = connect(front, address, MODEL), server.cpu_seconds()
    before = [answered_items(front, ask(request)) for request in requests]
    place = (front, address, MODEL)
    with Clients(*place, requests, count, clients, endless=swap is not None) as asking:
        memory = _watch(server, asking, front, count, swap)
        told = asking.result
    moments, milliseconds = np.array(told["requests"]).reshape(-1, 2).T
    found = {
        **{"requests": len(milliseconds), **quantiles(milliseconds)},
        "per_second": len(milliseconds) / told["seconds"],
        "failed": sum(told["errors"].values()),
        "errors": told["errors"],
        "memory": memory,
        "client_cpu_ms": 1e3 * told["cpu_seconds"] / len(milliseconds),
        "server_cpu_ms": 1e3 * (server.cpu_seconds() - cpu) / (len(milliseconds) + len(requests)),
    }
    if swap:
        meanwhile = milliseconds[(moments >= swap.begin) & (moments <= swap.end)]
        after = [answered_items(front, ask(request)) for request in requests]
        pairs = zip(before, after, strict=True)
        found["swap"] = {
            "seconds": swap.end - swap.begin,
            "requests": len(meanwhile),
            **(quantiles(meanwhile) if len(meanwhile) else {}),
            "asked": len(requests),
            "changed": sum(old != new for old, new in pairs),
        }
    return found


def _watch(server, clients, front, count, swap):
    """Shows progress and swaps halfway; returns the server's MiB by percent of requests."""
    console, memory = Console(stderr=True), {}
    shown = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*shown, console=console, disable=not console.is_terminal)
    task = bar.add_task(front, total=count)
    with bar:
        for done in clients.progress():
            bar.update(task, completed=min(done, count))
            while len(memory) < min(10, 10 * done // count):
                percent = 10 * (len(memory) + 1)
                memory[percent] = server.memory()
                if not console.is_terminal:
                    say(f"{front}: {percent} % of {count:,} requests")
            if swap and swap.begin is None and 2 * done >= count:
                swap.start()
            if swap and swap.begin and swap.end:
                clients.finish()
    memory[100] = server.memory()
    return memory


def table(results: dict) -> Table:
    """Returns the results as a table for the terminal."""
    title = (
        f"{results['items']:,} items, d = {results['dim']}, length {results['length']}, "
        f"{results['cores']} cores"
    )
    shown = Table(title=title, title_justify="left", box=box.SIMPLE)
    shown.add_column("", no_wrap=True)
    for heading in ("p50, ms", "p99, ms", "longest", "requests/s", "failed"):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("", no_wrap=True)
    if "in_turns" in results:
        for line in _rounds_rows(results["in_turns"], results["clients"]):
            shown.add_row(*line)
        return shown
    for name, row in results["alone"].items():
        rows = int(name.split()[-1])
        floor = results["alone"][f"product and top 10 of {rows}"]
        ratio = "" if row is floor else f"{row['p50'] / floor['p50']:.2f} of the product"
        shown.add_row(f"in-process: {name}", *_latencies(row), "", "", ratio)
    for front, row in results["fronts"].items():
        for line in _front_rows(front, row, results["clients"]):
            shown.add_row(*line)
    copies = ", ".join(results["table_copies"]) or "none"
    shown.add_row("copies of the item matrix in a request", *[""] * 5, copies)
    return shown


def _front_rows(front, row, clients):
    """Yields the rows of a front."""
    numbers = [f"{row['per_second']:,.0f}", f"{row['failed']:,}"]
    cpu = f"CPU: server {row['server_cpu_ms']:.1f} ms, client {row['client_cpu_ms']:.1f} ms each"
    yield (
        f"{front}, {clients} clients, {row['requests']:,} requests",
        *_latencies(row),
        *numbers,
        cpu,
    )
    if swap := row.get("swap"):
        told = f"in {swap['seconds']:.1f} s; {swap['changed']} of {swap['asked']} answers changed"
        latencies = _latencies(swap) if "p50" in swap else [""] * 3
        yield f"{front}, while the version is swapped", *latencies, "", "", told
    held = ", ".join(f"{row['memory'][percent]:,.0f} at {percent} %" for percent in (10, 50, 100))
    yield f"{front}, server's memory, MiB", *[""] * 5, held


def _rounds_rows(rounds, clients):
    """Yields a row per front: medians of its rounds."""
    for front in rounds[0]:
        parts = [part[front] for part in rounds]
        middle = {name: np.median([part[name] for part in parts]) for name in _MEDIANS}
        rates = [part["per_second"] for part in parts]
        yield (
            f"{front}, {clients} clients, {len(parts)} x {parts[0]['requests']:,} requests",
            *_latencies(middle),
            f"{middle['per_second']:,.0f}",
            f"{sum(part['failed'] for part in parts):,}",
            f"{min(rates):,.0f} to {max(rates):,.0f}; CPU: server "
            f"{middle['server_cpu_ms']:.1f} ms, client {middle['client_cpu_ms']:.1f} ms",
        )


def _latencies(row):
    return [f"{row[name]:,.1f}" for name in ("p50", "p99", "longest")]


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints a table, and writes JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=8, help="concurrent clients")
    parser.add_argument("--requests", type=int, default=50_000, help="to the first front")
    parser.add_argument("--front", choices=(GRPC, REST), help="only this front")
    parser.add_argument("--calls", type=int, default=200, help="samples of the model alone")
    parser.add_argument("--rounds", type=int, default=0, help="take turns in rounds, no swap")
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args(arguments)
    prepare_keras(backend="tensorflow")
    fronts = (options.front,) if options.front else (GRPC, REST)
    sizes = (options.items, options.clients, options.requests)
    results = measure(Load(*sizes, fronts, options.calls, options.rounds))
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    console.print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
