"""Runs a WSGI application on waitress, and stops once all requests are answered."""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from collections.abc import Callable

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.task import ThreadedTaskDispatcher

from pipelines.serving.limits import MAX_BYTES, connection_limits
from pipelines.serving.rest_channel import Listener

_TICK_SECONDS = 0.05
_FIRST_BYTE_SECONDS = 1.0
_SILENT_SECONDS = 60
_MAX_HEADER_BYTES = 2**15


class RestServer:
    """An HTTP server in its own thread.

    Waitress itself drops waiting requests when it is stopped, so its loop runs here.

    Args:
        application: a WSGI application.
        listener: a bound socket.
        threads: number of requests to answer in parallel.
        say: called with a line about each problem that does not stop the server.
    """

    def __init__(
        self,
        application,
        listener: socket.socket,
        threads: int,
        say: Callable[[str], None] = lambda line: None,
    ):
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # waiting is normal
        # So are clients that disconnect, and more clients than there is room for.
        logging.getLogger("waitress").setLevel(logging.ERROR)
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(threads)
        adjustments = Adjustments(
            connection_limit=connection_limits()[0],
            channel_timeout=_SILENT_SECONDS,
            cleanup_interval=5,
            max_request_body_size=MAX_BYTES + 1,  # waitress also refuses this size itself
            max_request_header_size=_MAX_HEADER_BYTES,
            log_socket_errors=False,
        )
        place = (listener.family, listener.type, listener.proto, listener.getsockname())
        self._server = Listener(
            application,
            map={},
            _sock=listener,
            dispatcher=dispatcher,
            adj=adjustments,
            sockinfo=place,
            bind_socket=False,
        )
        self._server.say = say
        self._say = say
        self._last_error = ""
        self._deadline: float | None = None
        self._thread = threading.Thread(target=self._run, name="hmar-rest", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the server is running."""
        return self._thread.is_alive() and bool(self._server.task_dispatcher.threads)

    def start(self) -> None:
        """Starts to answer requests."""
        self._thread.start()

    def stop(self, grace: float) -> None:
        """Stops accepting connections, and stops once all requests are answered.

        Args:
            grace: seconds after which pending requests are dropped.
        """
        self._deadline = time.monotonic() + grace
        # The thread may see the deadline by itself, so only this side closes the trigger.
        self._server.pull_trigger()
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Closes all sockets of a server that is not running."""
        self._server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._server._map)

    def _run(self):
        while self._deadline is None:
            self._poll(timeout=1)  # an event or the trigger ends it sooner
        while self._has_callers() and time.monotonic() < self._deadline:
            self._poll(timeout=0)  # accepts one of them
        self._poll(timeout=0)  # reads what they have sent
        wasyncore.dispatcher.close(self._server)  # only the listener
        while self._has_work() and time.monotonic() < self._deadline:
            self._poll(_TICK_SECONDS)

    def _poll(self, timeout):
        try:
            if not self._server.make_room():
                timeout = min(timeout, _TICK_SECONDS)
            # poll(), because select() fails for descriptors from 1,024 on.
            wasyncore.loop(timeout, use_poll=True, map=self._server._map, count=1)
        # Whatever happens, the other connections must be answered.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if reason != self._last_error:
                self._last_error = reason
                self._say(f"REST continues after an error ({reason})")
            time.sleep(_TICK_SECONDS)

    def _has_callers(self):
        """Returns whether a connection waits to be accepted."""
        poll = select.poll()
        poll.register(self._server.socket, select.POLLIN)
        return bool(poll.poll(0))

    def _has_work(self):
        """Returns whether a request is being read or answered; closes all other connections."""
        channels = list(self._server.active_channels.values())
        idle = [channel for channel in channels if not _is_busy(channel)]
        for channel in idle:
            channel.handle_close()
        return len(idle) < len(channels)


def _is_busy(channel):
    is_new = channel.last_activity == channel.creation_time  # nothing has been read from it
    return bool(
        channel.requests
        or channel.request is not None
        or channel.total_outbufs_len
        or (is_new and time.time() < channel.creation_time + _FIRST_BYTE_SECONDS)
    )
