"""Many, silent and refused connections, and too few descriptors, without a model."""

import contextlib
import errno
import http.client
import json
import os
import resource
import socket

import pytest
from waitress import wasyncore
from werkzeug.wrappers import Response

from pipelines.serving import rest_server
from pipelines.serving.limits import MAX_BYTES, connection_limits
from pipelines.serving.rest_server import RestServer
from pipelines.serving.server import _bind


def length(environ, start_response):
    return Response(str(len(environ["wsgi.input"].read())))(environ, start_response)


@pytest.fixture
def said():
    return []


@pytest.fixture
def start(said):
    """Returns a function that starts a server and gives its port."""
    with contextlib.ExitStack() as ends:

        def run():
            listener = _bind("127.0.0.1", 0, "")
            server = RestServer(length, listener, 2, said.append)
            server.start()
            ends.callback(server.stop, 5)
            return server, listener.getsockname()[1]

        yield run


def ask(port, body=b"abc"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", "/", body)
        response = connection.getresponse()
        return response.status, response.read()


def test_descriptors_beyond_1024_are_answered(start):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1400:
        pytest.skip("needs 1,400 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1400), hard))
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1050)]
    try:
        _, port = start()
        assert ask(port) == (200, b"3")
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_silent_connections_make_room(start, monkeypatch):
    monkeypatch.setattr(rest_server, "connection_limits", lambda: (20, 20))
    _, port = start()
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhalf a body"
    with contextlib.ExitStack() as open_ones:
        for number in range(60):
            silent = open_ones.enter_context(socket.create_connection(("127.0.0.1", port), 30))
            if number % 2:
                with contextlib.suppress(OSError):  # the server may have closed it to make room
                    silent.sendall(head)
        for _ in range(3):
            assert ask(port) == (200, b"3")


def test_a_new_connection_has_time_to_send_its_request(start, monkeypatch):
    monkeypatch.setattr(rest_server, "connection_limits", lambda: (20, 20))
    monkeypatch.setattr("pipelines.serving.rest_channel._LEAST_SILENT_SECONDS", 3600)
    _, port = start()
    first = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    first.connect()
    with contextlib.ExitStack() as open_ones:
        open_ones.enter_context(contextlib.closing(first))
        silent = [
            open_ones.enter_context(socket.create_connection(("127.0.0.1", port), 30))
            for _ in range(60)
        ]
        first.request("POST", "/", b"abc")
        assert first.getresponse().read() == b"3"
        for one in silent:
            one.close()
        assert ask(port) == (200, b"3")


@pytest.mark.slow
def test_without_descriptors_it_rests_says_so_once_and_recovers(start, said, monkeypatch):
    server, port = start()
    monkeypatch.setattr("pipelines.serving.rest_channel._BACK_OFF_SECONDS", 0.01)
    accept, failures = server._server.accept, []

    def fail():
        if len(failures) < 5:
            failures.append(1)
            raise OSError(errno.EMFILE, "Too many open files")
        return accept()

    server._server.accept = fail
    assert ask(port) == (200, b"3")
    assert len(failures) == 5
    (line,) = said
    assert "Too many open files" in line and "ulimit -n" in line
    assert server.is_alive


def test_a_loop_that_fails_goes_on_and_says_so_once(start, said, monkeypatch):
    loop, failures = wasyncore.loop, []

    def fail(*arguments, **options):
        if len(failures) < 3:
            failures.append(1)
            raise ValueError("filedescriptor out of range")
        return loop(*arguments, **options)

    monkeypatch.setattr(wasyncore, "loop", fail)
    server, port = start()
    assert ask(port) == (200, b"3")
    assert said == ["REST continues after an error (ValueError: filedescriptor out of range)"]
    assert server.is_alive


def test_a_loop_that_sees_the_deadline_before_it_is_woken_ends_the_same(start):
    server, port = start()
    pull_trigger = server._server.pull_trigger

    def pull_late():
        ask(port)  # wakes the loop
        server._thread.join()
        pull_trigger()

    server._server.pull_trigger = pull_late
    server.stop(5)
    server._server.pull_trigger = lambda: None  # stopping a server again has no effect
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), 5)


@pytest.mark.parametrize("size", [MAX_BYTES, MAX_BYTES + 1, 5 * MAX_BYTES])
def test_the_size_of_a_body_is_limited(start, size):
    status, body = ask(start()[1], bytes(size))
    if size == MAX_BYTES:
        assert (status, body) == (200, str(size).encode())
    else:
        assert status == 413
        assert str(MAX_BYTES + 1) in json.loads(body)["error"]


def test_bad_requests_get_json(start):
    with socket.create_connection(("127.0.0.1", start()[1]), 30) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 400
        assert list(json.loads(response.read())) == ["error"]


@pytest.mark.parametrize("soft", [100, 200, 1024, 100_000])
def test_connections_leave_descriptors_for_the_rest(monkeypatch, soft):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, soft))
    rest, grpc = connection_limits()
    assert rest >= 2 and grpc >= 8
    assert 3 * rest + grpc <= soft - 80 or soft == 100
