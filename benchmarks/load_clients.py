"""Clients that send requests as fast as a server answers, for `serving_load.py`.

They run in a separate process. Requests are serialised once and answers are not parsed, so that the
clients take as little of the machine as possible.
"""

from __future__ import annotations

import collections
import http.client
import itertools
import multiprocessing
import resource
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import grpc

GRPC, REST = "grpc", "rest"
_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_REPORT_SECONDS = 0.05
_TIMEOUT_SECONDS = 60.0


def connect(front: str, address: str, model: str) -> Callable[[bytes], bytes]:
    """Returns a connection to a server: a function from request bytes to answer bytes.

    It raises an error, which `error_name` names, if there is no answer.

    Args:
        front: `GRPC` or `REST`.
        address: HOST:PORT.
        model: name of the model.
    """
    if front == GRPC:
        # Each client gets its own connection instead of a shared one.
        channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        predict = channel.unary_unary(_PREDICT)
        return lambda request: predict(request, timeout=_TIMEOUT_SECONDS)
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_SECONDS)
    headers = {"Content-Type": "application/json"}

    def post(request):
        try:
            connection.request("POST", f"/v1/models/{model}:predict", request, headers)
            response = connection.getresponse()
            answer = response.read()
        except BaseException:
            connection.close()  # the next request opens it again
            raise
        if response.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"HTTP {response.status}")
        return answer

    return post


def error_name(error: Exception) -> str:
    """Returns the name to count an error under."""
    if isinstance(error, grpc.RpcError):
        return error.code().name
    return str(error) if type(error) is http.client.HTTPException else type(error).__name__


class Clients:
    """Clients that send requests; a context manager.

    Args:
        front: `GRPC` or `REST`.
        address: HOST:PORT of the front.
        model: name of the model.
        requests: bytes, sent in turn.
        count: number of requests of all clients together.
        clients: number of clients, each of which sends one request after another.
        endless: whether they continue beyond `count` until `finish`.
    """

    def __init__(
        self,
        front: str,
        address: str,
        model: str,
        requests: Sequence[bytes],
        count: int,
        clients: int,
        endless: bool = False,
    ):
        context = multiprocessing.get_context("spawn")
        self._may_end = context.Event()
        if not endless:
            self._may_end.set()
        self._reports, theirs = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_work,
            args=(theirs, self._may_end, (front, address, model), requests, count, clients),
            daemon=True,
        )
        self._process.start()
        theirs.close()  # or the end of the process would go unnoticed
        self.result: dict = {}

    def progress(self) -> Iterator[int]:
        """Yields, until the end, how many requests have been made.

        Then `result` has `requests`, float64 pairs of the time of an answer (`time.monotonic`) and
        the milliseconds that it took; `errors`, a count by name; and `seconds`, `cpu_seconds`.
        """
        while not self.result:
            report = self._reports.recv()
            if isinstance(report, int):
                yield report
            else:
                self.result = report

    def finish(self) -> None:
        """Lets the clients stop once they have made their requests."""
        self._may_end.set()

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *error) -> None:
        self._process.kill()  # after `progress`, nothing is left to do
        self._process.join()


def _work(reports, may_end, place, requests, count, clients):
    """Runs the process: threads of clients, and the main thread, which reports."""
    numbers, start = itertools.count(), threading.Barrier(clients + 1)
    answered, errors = [[] for _ in range(clients)], collections.Counter()

    def client(samples):
        ask = connect(*place)
        ask(requests[0])  # opens the connection
        start.wait()
        # `next` is atomic: no number comes twice.
        while (number := next(numbers)) < count or not may_end.is_set():
            begin = time.monotonic()
            try:
                ask(requests[number % len(requests)])
            except (grpc.RpcError, http.client.HTTPException, OSError) as error:
                errors[error_name(error)] += 1
                continue
            end = time.monotonic()
            samples.append((end, (end - begin) * 1e3))

    threads = [threading.Thread(target=client, args=(samples,)) for samples in answered]
    for thread in threads:
        thread.start()
    start.wait(_TIMEOUT_SECONDS)
    begin, cpu = time.monotonic(), _cpu_seconds()
    while any(thread.is_alive() for thread in threads):
        reports.send(sum(map(len, answered)) + errors.total())
        time.sleep(_REPORT_SECONDS)
    reports.send(sum(map(len, answered)) + errors.total())
    samples = list(itertools.chain(*answered))
    reports.send(
        {
            "requests": samples,
            "errors": dict(errors),
            "seconds": max((end for end, _ in samples), default=begin) - begin,
            "cpu_seconds": _cpu_seconds() - cpu,
        }
    )


def _cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
