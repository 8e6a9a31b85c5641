"""Connections that send nothing, or half of a request, for `soak.py`."""

from __future__ import annotations

import contextlib
import dataclasses
import http
import http.client
import select
import socket
import threading
import time
from collections.abc import Mapping

import grpc
from load_clients import GRPC, REST, error_name

# What an HTTP/2 client sends first: the preface and an empty SETTINGS frame.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_HALF = b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + b" " * 10_000
SILENT = {REST: b"", GRPC: b""}
IDLE_HTTP2 = {GRPC: _PREFACE}
HALF_SENT = {REST: _HALF}
_CONNECT_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_PIECE_SECONDS = 0.2
_PIECES = 10
_RECONNECTS = 100
_REFUSALS = ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")


@dataclasses.dataclass
class Tally:
    """Outcomes of requests.

    Args:
        answered: number of requests with an answer.
        refused: number of requests with a client error: 4xx, or its equivalents in gRPC.
        lost: number of requests with no answer or another error, by name.
        longest: seconds that the slowest answer took.
    """

    answered: int = 0
    refused: int = 0
    lost: dict[str, int] = dataclasses.field(default_factory=dict)
    longest: float = 0.0

    @property
    def requests(self) -> int:
        """Number of all requests."""
        return self.answered + self.refused + sum(self.lost.values())

    def add_answer(self, seconds: float) -> None:
        """Counts an answer."""
        self.answered += 1
        self.longest = max(self.longest, seconds)

    def add_error(self, name: str, count: int = 1) -> None:
        """Counts errors of a name from `error_name`."""
        if name in _REFUSALS or name.startswith("HTTP 4"):
            self.refused += count
        else:
            self.lost[name] = self.lost.get(name, 0) + count

    def __add__(self, other: Tally) -> Tally:
        total = Tally(
            self.answered + other.answered,
            self.refused + other.refused,
            dict(self.lost),
            max(self.longest, other.longest),
        )
        for name, count in other.lost.items():
            total.add_error(name, count)
        return total


class Idle:
    """Open connections without a request; a context manager.

    Args:
        addresses: HOST:PORT by front.
        kinds: pairs of a number of connections and what each of them sends, by front.
        stays_open: whether to reopen a connection that the server closes.
    """

    def __init__(
        self,
        addresses: Mapping[str, str],
        kinds: list[tuple[int, Mapping[str, bytes]]],
        stays_open: bool = True,
    ):
        self.opened = 0
        self._addresses = addresses
        self._wanted = [
            (front, greeting)
            for count, greetings in kinds
            for front, greeting in greetings.items()
            for _ in range(count)
        ]
        self._open: dict[int, socket.socket] = {}  # by place in `_wanted`
        self._stays_open = stays_open
        self._end = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    @property
    def wanted(self) -> int:
        """Number of connections to keep open."""
        return len(self._wanted)

    def __enter__(self) -> Idle:
        self._fill()
        self._watcher.start()
        return self

    def __exit__(self, *error) -> None:
        self._end.set()
        self._watcher.join()
        for connection in self._open.values():
            connection.close()

    def _watch(self):
        while self._stays_open and not self._end.wait(_LOOK_SECONDS):
            for place in [place for place, one in self._open.items() if _is_closed(one)]:
                self._open.pop(place).close()
            self._fill()

    def _fill(self):
        for place, (front, greeting) in enumerate(self._wanted):
            if place in self._open or self._end.is_set():
                continue
            host, port = self._addresses[front].rsplit(":", 1)
            # The server is allowed to close it at any time.
            with contextlib.suppress(OSError):
                one = socket.create_connection((host, int(port)), _CONNECT_SECONDS)
                self._open[place] = one
                self.opened += 1
                one.sendall(greeting)


def _is_closed(connection):
    connection.setblocking(False)
    try:
        return not connection.recv(2**16)
    except BlockingIOError:
        return False
    except OSError:
        return True


class SlowSenders:
    """REST clients that send each request in ten pieces over two seconds; a context manager.

    Args:
        address: HOST:PORT of REST.
        model: name of the model.
        body: body of the request.
        count: number of concurrent clients.
    """

    def __init__(self, address: str, model: str, body: bytes, count: int):
        self._address, self._path, self._body = address, f"/v1/models/{model}:predict", body
        self._tallies = [Tally() for _ in range(count)]
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(tally,), daemon=True)
            for tally in self._tallies
        ]

    @property
    def tally(self) -> Tally:
        """Outcomes of all requests."""
        return sum(self._tallies, Tally())

    def __enter__(self) -> SlowSenders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self, tally):
        while not self._end.is_set():
            ask_once(tally, lambda: post(self._address, self._path, self._pieces()))

    def _pieces(self):
        size = -(-len(self._body) // _PIECES)
        for start in range(0, len(self._body), size):
            yield self._body[start : start + size]
            time.sleep(_PIECE_SECONDS)


def ask_once(tally: Tally, ask) -> None:
    """Calls `ask` and counts its outcome."""
    begin = time.monotonic()
    try:
        ask()
    except (grpc.RpcError, http.client.HTTPException, OSError) as error:
        tally.add_error(error_name(error))
    else:
        tally.add_answer(time.monotonic() - begin)


def post(address: str, path: str, body) -> bytes:
    """Posts over a new connection and returns the answer; `body` is bytes or yields pieces."""
    connection = http.client.HTTPConnection(address, timeout=60)
    with contextlib.closing(connection):
        connection.connect()
        for _ in range(_RECONNECTS):
            poll = select.poll()  # select() fails for descriptors from 1,024 on
            poll.register(connection.sock, select.POLLIN)
            if not poll.poll(0):
                break
            connection.close()  # the server closed it before a request was sent
            connection.connect()
        connection.request("POST", path, body)
        response = connection.getresponse()
        answer = response.read()
    if response.status != http.HTTPStatus.OK:
        raise http.client.HTTPException(f"HTTP {response.status}")
    return answer
