"""Waitress's listener and connections, hardened for servers that run for long."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable

from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask

_BACK_OFF_SECONDS = 1.0
_LEAST_SILENT_SECONDS = 0.1
_DRAIN_SECONDS = 5.0
_DRAIN_BYTES = 256 * 2**20
_CHUNK = 2**16


class _JsonErrorTask(ErrorTask):
    """Answers what waitress refuses in the format of the routes' errors."""

    def execute(self):
        error = self.request.error
        body = json.dumps({"error": f"{error.reason}: {error.body}."}).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)
        self.channel.drain()


class Channel(HTTPChannel):
    """A connection that is still read after its request is refused.

    Closing it at once would reset it, and a client that is still sending would lose the answer.
    """

    error_task_class = _JsonErrorTask
    _drained = 0
    _drain_until: float | None = None

    def drain(self) -> None:
        """Keeps reading, for a bounded time and amount, once the answer is sent."""
        self._drain_until = time.monotonic() + _DRAIN_SECONDS

    @property
    def is_idle(self) -> bool:
        """Whether no complete request waits for its answer."""
        return not self.requests and not self.total_outbufs_len

    def readable(self):
        """Returns whether to wait for something to read."""
        return self._is_draining() or super().readable()

    def writable(self):
        """Returns whether there is something to send, or the connection is to be closed."""
        return not self._is_draining() and super().writable()

    def handle_write(self):
        """Sends; after the answer to a refused request, ends the sending direction."""
        if self._drain_until is None or not self.close_when_flushed or not self.total_outbufs_len:
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if not self.total_outbufs_len:
            with contextlib.suppress(OSError):  # the client is gone
                self.socket.shutdown(socket.SHUT_WR)

    def handle_read(self):
        """Reads, and discards what belongs to a refused request."""
        if not self._is_draining():
            super().handle_read()
            return
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._drained += len(data)
        if not data or self._drained > _DRAIN_BYTES:
            self._drain_until = None  # ready to be closed

    def _is_draining(self):
        is_answered = self.close_when_flushed and not self.total_outbufs_len
        return (
            is_answered
            and self._drain_until is not None
            and self.connected
            and time.monotonic() < self._drain_until
        )


class Listener(TcpWSGIServer):
    """Accepts connections, and makes room for new ones when there are too many."""

    channel_class = Channel
    say: Callable[[str], None] = staticmethod(lambda line: None)
    _rests_until = 0.0
    _has_said = False

    def readable(self):
        """Returns whether a connection may be accepted."""
        return super().readable() and time.monotonic() >= self._rests_until

    def make_room(self) -> bool:
        """Closes, at the limit, the tenth of idle connections that has been silent the longest.

        Must be called between two polls: within one, a new connection may get the number of a
        closed descriptor, and its events.

        Returns:
            whether a connection may be accepted. If not, none has been silent for long enough: a
            client needs a moment to send its request once it is connected, and must not lose it.
        """
        if len(self._map) < self.adj.connection_limit:
            return True
        latest = time.time() - _LEAST_SILENT_SECONDS
        idle = [channel for channel in list(self.active_channels.values()) if channel.is_idle]
        idle.sort(key=lambda channel: channel.last_activity)
        for channel in idle[: len(idle) // 10 + 1]:
            if channel.last_activity <= latest:
                channel.handle_close()
        return len(self._map) < self.adj.connection_limit

    def handle_accept(self):
        """Accepts a connection; without a free descriptor, pauses and reports it once."""
        try:
            taken = self.accept()
            if taken is None:
                return
            connection, place = taken
            self.set_socket_options(connection)
        except OSError as error:
            self._rests_until = time.monotonic() + _BACK_OFF_SECONDS
            if not self._has_said:
                self._has_said = True
                self.say(
                    f"REST cannot accept a connection ({error.strerror}) and retries every "
                    "second; raise the limit of open files (ulimit -n)."
                )
            return
        self._has_said = False
        self.channel_class(self, connection, self.fix_addr(place), self.adj, map=self._map)
