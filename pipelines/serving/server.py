"""A model behind gRPC and REST: both fronts are started and stopped together."""

from __future__ import annotations

import socket
import time

from pipelines.runtime.errors import InputError
from pipelines.serving.grpc_service import make_grpc_server
from pipelines.serving.rest_server import RestServer
from pipelines.serving.rest_service import RestService
from pipelines.serving.served_model import ServedModel
from pipelines.serving.web_page import WebPage

_GRACE_SECONDS = 30.0
_LAST_CALLS_SECONDS = 0.25


class Server:
    """Serves a model until it is stopped; also a context manager.

    Args:
        model: what to serve.
        host: the address to listen on.
        port: gRPC port; 0 for a free one.
        rest_port: REST port; 0 for a free one.
        threads: number of requests each front answers in parallel.
        page: whether the REST port also serves the page of `web_page`.

    Raises:
        InputError: if the host is not an address of this machine, or a port is taken.
    """

    def __init__(
        self,
        model: ServedModel,
        host: str = "127.0.0.1",
        port: int = 8500,
        rest_port: int = 8501,
        threads: int = 4,
        page: bool = False,
    ):
        self.host = host
        self.model = model
        # Bind the ports before the model is loaded, which may take a while.
        listener = _bind(host, rest_port, "--rest-port")
        self.rest_port = listener.getsockname()[1]
        self._grpc = make_grpc_server(model, threads, self.ailment)
        try:
            _bind(host, port, "--port").close()  # gives a better error than gRPC
            self.port = self._grpc.add_insecure_port(_address(host, port))
        except InputError:
            listener.close()
            raise
        except RuntimeError as error:
            listener.close()
            raise _taken(host, port, "--port") from error
        rest = RestService(model, self.ailment)
        application = WebPage(model, rest, host) if page else rest
        self._rest = RestServer(application, listener, threads, model.tell)

    @property
    def address(self) -> str:
        """The gRPC address, HOST:PORT."""
        return _address(self.host, self.port)

    @property
    def rest_url(self) -> str:
        """The REST URL."""
        return f"http://{_address(self.host, self.rest_port)}"

    def ailment(self) -> str:
        """Returns what is wrong with the server, as a sentence; "" if it is healthy."""
        if self.model.is_stopping:
            return "the server is stopping."
        parts = {
            "the watcher of versions": self.model.is_watching,
            "REST": self._rest.is_alive,
            "gRPC": self._grpc.wait_for_termination(timeout=0),  # true as long as it runs
        }
        dead = [name for name, is_alive in parts.items() if not is_alive]
        return f"{' and '.join(dead)} no longer work; restart the server." if dead else ""

    def start(self) -> None:
        """Loads the model and starts to answer requests.

        Raises:
            InputError: if the model cannot be served.
        """
        try:
            self.model.start()
        except BaseException:
            self._grpc.stop(0)
            self._rest.close()
            raise
        self._grpc.start()
        self._rest.start()

    def stop(self, grace: float = _GRACE_SECONDS) -> None:
        """Stops accepting requests, and stops once those in flight are answered.

        Args:
            grace: seconds after which they are dropped.
        """
        self.model.stop()
        # By then the fronts have read, and will answer, what was sent before. gRPC would reject
        # what has arrived and not been read.
        time.sleep(_LAST_CALLS_SECONDS)
        ended = self._grpc.stop(grace)
        self._rest.stop(grace)
        ended.wait()
        self.model.join()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error) -> None:
        self.stop()


def _bind(host, port, option):
    """Returns a socket that is bound to a port of a host."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"--host {host} is not an address of this machine ({error}).") from error
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(place)
        bound.listen()
    except OSError as error:
        bound.close()
        raise _taken(host, port, option, error.strerror) from error
    return bound


def _taken(host, port, option, reason="in use"):
    return InputError(
        f"cannot listen on {_address(host, port)} ({reason}); give another {option}, or 0 for a "
        "free one."
    )


def _address(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
