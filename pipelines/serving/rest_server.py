"""Runs a WSGI application on waitress, and ends when what was asked is answered."""

from __future__ import annotations

import logging
import select
import socket
import threading
import time

from waitress import wasyncore
from waitress.server import create_server

_TICK_SECONDS = 0.05
_FIRST_BYTE_SECONDS = 1.0


class RestServer:
    """An HTTP server in a thread of its own.

    Waitress itself drops the requests that wait when it is ended, so that its loop is run here.

    Args:
        application: of WSGI.
        listener: a bound socket.
        threads: how many requests are answered at once.
    """

    def __init__(self, application, listener: socket.socket, threads: int):
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # waiting is no event
        self._server = create_server(
            application, sockets=[listener], threads=threads, connection_limit=1000
        )
        self._deadline: float | None = None
        self._thread = threading.Thread(target=self._run, name="hmar-rest", daemon=True)

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def stop(self, grace: float) -> None:
        """Takes no more connections, answers what was asked, and ends.

        Args:
            grace: seconds after which requests are given up.
        """
        self._deadline = time.monotonic() + grace
        self._server.pull_trigger()
        self._thread.join()

    def close(self) -> None:
        """Ends at once; for a server that is not running."""
        self._server.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._server._map)

    def _run(self):
        while self._deadline is None:
            self._poll(timeout=1)  # an event or the trigger ends it sooner
        while self._has_callers() and time.monotonic() < self._deadline:
            self._poll(timeout=0)  # takes one of them
        self._poll(timeout=0)  # reads what they have sent
        wasyncore.dispatcher.close(self._server)  # the listener alone
        while self._has_work() and time.monotonic() < self._deadline:
            self._poll(_TICK_SECONDS)
        self.close()

    def _poll(self, timeout):
        wasyncore.loop(timeout, map=self._server._map, count=1)

    def _has_callers(self):
        """Whether a connection waits to be accepted."""
        return bool(select.select([self._server.socket], [], [], 0)[0])

    def _has_work(self):
        """Whether a request is being read or answered; connections without one are closed."""
        channels = list(self._server.active_channels.values())
        idle = [channel for channel in channels if not _is_busy(channel)]
        for channel in idle:
            channel.handle_close()
        return len(idle) < len(channels)


def _is_busy(channel):
    is_new = channel.last_activity == channel.creation_time  # nothing has been read of it
    return bool(
        channel.requests
        or channel.request is not None
        or channel.total_outbufs_len
        or (is_new and time.time() < channel.creation_time + _FIRST_BYTE_SECONDS)
    )
