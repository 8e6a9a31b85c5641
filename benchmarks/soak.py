"""Stresses `hmar serve`: requests, silent connections, broken versions, few descriptors.

    python benchmarks/soak.py                       # about nine minutes on two cores
    python benchmarks/soak.py --requests 2000 --connections 100

The first server answers gRPC and REST clients while silent and half-sent connections are open to
both ports and ten versions, three of them broken, are put into its directory; halfway, its standard
error is closed. One request in fifty exceeds the limit on `k` and must be refused. The second
server may open 200 descriptors and gets more connections than that. Both run on free ports of this
machine. The script exits with 1, and says why, if a request is lost, memory grows by more than a
tenth after the first twelfth of the requests, the newest complete version does not answer, or
`/healthz` is not 200.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import shutil
import tempfile
import threading
import time
from pathlib import Path

import grpc
from load_clients import GRPC, REST, Clients
from rich import box
from rich.console import Console
from rich.table import Table
from served_process import ServedProcess
from serving_load import MODEL, export_two, random_histories, request_bytes
from soak_connections import (
    HALF_SENT,
    IDLE_HTTP2,
    SILENT,
    Idle,
    SlowSenders,
    Tally,
    ask_once,
    post,
)
from soak_takeovers import BROKEN, PLAN, Takeovers, rest_json

from pipelines.runtime.terminal import prepare_keras, say
from pipelines.serving.limits import MAX_K, raise_descriptor_limit

_REFUSED_EACH = 50
_PARTS = 12  # of the requests: the first warms up, ten start a takeover each, the last follows
_SETTLING_SECONDS = 3.0
_LONGEST_SECONDS = 3600.0
_PREDICT = "/tensorflow.serving.PredictionService/Predict"


@dataclasses.dataclass(frozen=True)
class Soak:
    """The load and what is allowed.

    Args:
        items: size of the catalogue.
        requests: to both fronts of the first server together.
        clients: number of concurrent clients of each front.
        connections: silent connections to each port of the first server.
        half_sent: connections that have sent half a request.
        slow: clients that take two seconds to send a request.
        descriptors: limit of the second server; it gets as many silent connections to each port.
        growth: percent by which memory may grow.
        versions: how many of `PLAN` are put into the directory.
    """

    items: int
    requests: int
    clients: int = 4
    connections: int = 1100
    half_sent: int = 20
    slow: int = 4
    descriptors: int = 200
    growth: float = 10.0
    versions: int = len(PLAN)


@dataclasses.dataclass
class Found:
    """The results of one server.

    Args:
        tally: outcomes of the requests.
        connections: number of silent connections at a time, and of all that were opened.
        memory: MiB after the warm-up, and at the end.
        takeovers: outcome of the versions, in words.
        health: answer of `/healthz` at the end, 200 or an error.
        failures: requirements that are not met, in words.
    """

    tally: Tally
    connections: tuple[int, int]
    memory: tuple[float, float]
    takeovers: str
    health: str
    failures: list[str]


def asked(front: str, history) -> list[bytes]:
    """Returns requests, of which the last must be refused."""
    good = request_bytes(front, history)
    return [good] * (_REFUSED_EACH - 1) + [_too_large(front, good)]


def _too_large(front, request):
    if front == REST:
        body = json.loads(request)
        body["inputs"]["k"] = [MAX_K + 1]
        return json.dumps(body).encode()
    from tensorflow_serving.apis import predict_pb2

    message = predict_pb2.PredictRequest.FromString(request)
    tensor = message.inputs["k"]
    tensor.ClearField("tensor_content")
    tensor.int_val[:] = [MAX_K + 1]
    return message.SerializeToString()


def soak_versions(soak: Soak, home: Path, sources: tuple[Path, Path], history) -> Found:
    """Tests the first server: clients, silent connections, slow senders, versions."""
    kinds = [
        (soak.connections - soak.half_sent, SILENT),
        (soak.half_sent, HALF_SENT),
        (soak.half_sent, IDLE_HTTP2),
    ]
    with contextlib.ExitStack() as ends:
        server = ends.enter_context(ServedProcess(home))
        idle = ends.enter_context(Idle(server.addresses, kinds))
        body = request_bytes(REST, history)
        slow = ends.enter_context(SlowSenders(server.addresses[REST], MODEL, body, soak.slow))
        progress = _Progress(soak.requests)
        plan = PLAN[: soak.versions]
        takeovers = Takeovers(server, home, sources, lambda n: progress.part >= n + 2, plan)
        clients = [
            ends.enter_context(
                Clients(
                    *(front, server.addresses[front], MODEL, asked(front, history)),
                    *(soak.requests // 2, soak.clients),
                    endless=True,
                )
            )
            for front in (GRPC, REST)
        ]
        takeovers.start()
        deadline, before = time.monotonic() + _LONGEST_SECONDS, 0.0
        for counts in itertools.zip_longest(*(one.progress() for one in clients)):
            progress.note(sum(count or 0 for count in counts), takeovers)
            if progress.part >= 1 and not before:
                before = server.memory()
            if not takeovers.is_alive():
                for one in clients:
                    one.finish()
            if time.monotonic() > deadline:
                raise SystemExit("the soak takes longer than an hour.")
        tally, failures = slow_and_clients(slow, clients, soak.clients)
        time.sleep(_SETTLING_SECONDS)
        memory = (before or server.memory(), server.memory())
        opened = (idle.wanted, idle.opened)
        health = _health(server)
        failures += _failures(tally, health, memory, soak.growth)
        failures += _version_failures(takeovers, server, history)
    broken = sum(kind in BROKEN for kind in plan)
    good = len(plan) - broken
    told = f"{takeovers.good} of {good}; {takeovers.broken} of {broken} broken ones left alone"
    return Found(tally, opened, memory, told, health, failures)


class _Progress:
    """Progress of the clients."""

    def __init__(self, requests: int):
        self.asked = 0
        self._requests = requests
        self._told = 0

    def note(self, asked: int, takeovers: Takeovers) -> None:
        """Notes how many requests have been made, and prints a line for each twelfth."""
        self.asked = max(self.asked, asked)
        if self.part > self._told:
            self._told = self.part
            done = takeovers.good + takeovers.broken
            say(f"{self.asked:,} requests, {done} of {len(takeovers.plan)} versions")

    @property
    def part(self) -> int:
        """How many twelfths of the requests have been made."""
        return _PARTS * self.asked // self._requests


def slow_and_clients(slow: SlowSenders, clients: list[Clients], most: int) -> tuple[Tally, list]:
    """Sums up the outcomes of all requests, and checks that the right ones were refused.

    Args:
        slow: the slow senders.
        clients: the other clients.
        most: how many requests may be in flight when clients stop.
    """
    tally, failures = slow.tally, []
    if tally.refused:
        failures.append(f"{tally.refused} slow requests were refused")
    for one in clients:
        mine = Tally(len(one.result["requests"]))
        mine.longest = max((taken for _, taken in one.result["requests"]), default=0.0) / 1e3
        for name, count in one.result["errors"].items():
            mine.add_error(name, count)
        expected = mine.requests // _REFUSED_EACH
        if abs(mine.refused - expected) > most:
            failures.append(f"{mine.refused} requests were refused instead of {expected}")
        tally += mine
    return tally, failures


def soak_descriptors(soak: Soak, home: Path, history) -> Found:
    """Tests the second server: more connections than descriptors, and requests."""
    silent = soak.descriptors
    count = max(soak.clients, soak.requests // 50)
    with ServedProcess(home, descriptors=soak.descriptors) as server:
        before = server.memory()
        # gRPC has no room until it closes connections that have been silent for ten seconds. If
        # they were reopened at once, its clients would only get in by chance.
        to_rest = [(silent - soak.half_sent, {REST: SILENT[REST]}), (soak.half_sent, HALF_SENT)]
        to_grpc = [(silent, {GRPC: SILENT[GRPC]})]
        with (
            Idle(server.addresses, to_rest) as rest,
            Idle(server.addresses, to_grpc, stays_open=False) as grpc_ones,
        ):
            tally = _ask_all(soak, server, history, count)
            opened = (rest.wanted + grpc_ones.wanted, rest.opened + grpc_ones.opened)
        time.sleep(_SETTLING_SECONDS)
        memory = (before, server.memory())
        health = _health(server)
        failures = _failures(tally, health, memory, soak.growth)
        if tally.refused:
            failures.append(f"{tally.refused} requests were refused")
    return Found(tally, opened, memory, "", health, failures)


def _ask_all(soak, server, history, count):
    """Tallies `count` requests by clients of both fronts."""
    tallies = [Tally() for _ in range(2 * soak.clients)]
    numbers = itertools.count()

    def work(tally, ask):
        while next(numbers) < count:
            ask_once(tally, ask)

    bodies = {front: request_bytes(front, history) for front in (GRPC, REST)}
    with contextlib.ExitStack() as ends:
        asks = [
            lambda: post(server.addresses[REST], f"/v1/models/{MODEL}:predict", bodies[REST])
        ] * soak.clients
        for _ in range(soak.clients):
            channel = ends.enter_context(_patient_channel(server.addresses[GRPC]))
            predict = channel.unary_unary(_PREDICT)
            # Waits for a connection, because a request that is never sent is not lost.
            asks.append(lambda it=predict: it(bodies[GRPC], timeout=60, wait_for_ready=True))
        threads = [
            threading.Thread(target=work, args=pair) for pair in zip(tallies, asks, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sum(tallies, Tally())


def _patient_channel(address):
    """Opens a separate connection, which is retried every second."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 1000)]
    return grpc.insecure_channel(address, options)


def _health(server):
    try:
        rest_json(server, "/healthz")
    except OSError as error:
        return str(error)
    return "200"


def _failures(tally, health, memory, growth):
    failures = []
    if tally.lost:
        failures.append(f"requests were lost: {tally.lost}")
    if health != "200":
        failures.append(f"/healthz says {health}")
    if memory[1] > memory[0] * (1 + growth / 100):
        failures.append(f"memory grew by {_growth(memory):.1f} %")
    return failures


def _version_failures(takeovers, server, history):
    """Checks that the newest complete version answers on both fronts."""
    if takeovers.error:
        return [f"a takeover failed: {takeovers.error}"]
    from tensorflow_serving.apis import predict_pb2

    with _patient_channel(server.addresses[GRPC]) as channel:
        answer = channel.unary_unary(_PREDICT)(request_bytes(GRPC, history), timeout=60)
    answered = predict_pb2.PredictResponse.FromString(answer).model_spec.version.value
    served = int(rest_json(server, "/healthz")["version"])
    if {answered, served} != {takeovers.latest}:
        return [f"versions {answered} and {served} answer instead of {takeovers.latest}"]
    return []


def _growth(memory):
    return 100 * (memory[1] / memory[0] - 1)


def table(found: list[Found], soak: Soak) -> Table:
    """Returns the results as a table for the terminal."""
    shown = Table(title=f"{soak.items:,} items", title_justify="left", box=box.SIMPLE)
    for heading in ("", "versions", f"{soak.descriptors} descriptors"):
        shown.add_column(heading, no_wrap=True)
    rows = {
        "requests": lambda one: f"{one.tally.requests:,}",
        "refused for their size": lambda one: f"{one.tally.refused:,}",
        "lost": lambda one: f"{sum(one.tally.lost.values()):,}",
        "longest answer, s": lambda one: f"{one.tally.longest:.1f}",
        "silent connections": lambda one: f"{one.connections[0]:,}, opened {one.connections[1]:,}",
        "memory, MiB": lambda one: (
            f"{one.memory[0]:,.0f} to {one.memory[1]:,.0f} ({_growth(one.memory):+.1f} %)"
        ),
        "versions taken over": lambda one: one.takeovers,
        "/healthz": lambda one: one.health,
    }
    for name, cell in rows.items():
        shown.add_row(name, *map(cell, found))
    return shown


def run(soak: Soak) -> list[Found]:
    """Tests both servers, one after the other."""
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory() as folder:
        versions = export_two(Path(folder), soak.items)
        home = versions[0].parent
        sources = tuple(
            shutil.copytree(path, Path(folder) / f"kept-{path.parent.name}") for path in versions
        )
        history = random_histories(soak.items, 1)[0]
        found = [soak_versions(soak, home, sources, history)]
        say("the first server is done; the second has few descriptors")
        return [*found, soak_descriptors(soak, home, history)]


def main(arguments: list[str] | None = None) -> None:
    """Tests, prints a table, and exits with 1 if a requirement is not met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=50_000, help="to the first server")
    parser.add_argument("--connections", type=int, default=1100, help="silent, to each port")
    parser.add_argument("--growth", type=float, default=10, help="percent that memory may grow")
    parser.add_argument("--versions", type=int, default=len(PLAN), help="at most 10")
    options = parser.parse_args(arguments)
    prepare_keras(backend="tensorflow")
    soak = Soak(
        options.items,
        options.requests,
        connections=options.connections,
        growth=options.growth,
        versions=options.versions,
    )
    found = run(soak)
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    console.print(table(found, soak))
    failures = [failure for one in found for failure in one.failures]
    if failures:
        raise SystemExit("\n".join(failures))


if __name__ == "__main__":
    main()
