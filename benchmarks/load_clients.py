"""Clients that ask a server as fast as it answers, in a process of their own: `serving_load.py`.

Requests are made once and sent as bytes, and answers are not read, so that the clients take as
little of the machine as they can.
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
    """A connection to a server, as a function from the bytes of a request to those of an answer.

    It raises an error, named as `error_name` has it, where there is no answer.

    Args:
        front: `GRPC` or `REST`.
        address: HOST:PORT.
        model: its name.
    """
    if front == GRPC:
        # Each client its own connection, not one that they share.
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
    """What to count an error under."""
    if isinstance(error, grpc.RpcError):
        return error.code().name
    return str(error) if type(error) is http.client.HTTPException else type(error).__name__


class Clients:
    """Clients at work; a context manager.

    Args:
        front: `GRPC` or `REST`.
        address: HOST:PORT of it.
        model: its name.
        requests: bytes; asked in turn.
        count: how many requests to make, all clients together.
        clients: how many ask at a time, each one request after another.
        endless: whether they go on beyond `count` until `finish`.
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
        theirs.close()  # or the end of the process would not be seen
        self.result: dict = {}

    def progress(self) -> Iterator[int]:
        """How many requests have been made, again and again, to the end.

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
        """Lets them end once they have made their requests."""
        self._may_end.set()

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *error) -> None:
        self._process.kill()  # after `progress` there is nothing left to do
        self._process.join()


def _work(reports, may_end, place, requests, count, clients):
    """The process: threads that ask, and the first one, which reports."""
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
