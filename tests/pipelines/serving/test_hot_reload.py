"""Versions of a real model come and go while it is queried."""

import threading
import weakref

import pytest

from pipelines.serving import Client
from pipelines.serving.served_model import ServedModel
from pipelines.serving.server import Server

from .asking import HISTORIES, ask_grpc, ask_rest, columns


class Askers:
    """Threads that send queries in a loop, half of them over gRPC and half over REST."""

    def __init__(self, server, threads=4):
        self.answers = [[] for _ in range(threads)]
        self.errors = []
        self._end = threading.Event()
        places = [{"address": server.address}, {"rest": server.rest_url}]
        self._threads = [
            threading.Thread(target=self._ask, args=(Client("shop", timeout=60, **place), answers))
            for place, answers in zip(places * (threads // 2), self.answers, strict=True)
        ]

    def _ask(self, client, answers):
        while not self._end.is_set():
            try:
                answers.append(items(client.recommend(HISTORIES, k=5)))
            except Exception as error:
                self.errors.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._end.set()
        for thread in self._threads:
            thread.join(60)

    def wait_for_more(self, count=5):
        """Waits until every thread has received `count` more answers."""
        goals = [len(answers) + count for answers in self.answers]
        while any(len(a) < goal for a, goal in zip(self.answers, goals, strict=True)):
            assert not self.errors
            self._end.wait(0.01)


def items(answers):
    return [[item for item, _ in answer] for answer in answers]


@pytest.fixture
def serve(exports, put, tmp_path):
    """Returns a function that makes a server of the first version, in the test's own directory."""

    def start(said=None):
        put(exports[0], tmp_path / "shop", 1)
        model = ServedModel(tmp_path / "shop", say=said or (lambda line: None))
        return Server(model, port=0, rest_port=0, threads=4)

    return start


def test_a_version_is_replaced_without_losing_a_request(serve, exports, put, tmp_path):
    served, ignored = threading.Event(), threading.Event()

    def said(line):
        if line == "loaded version 2":
            served.set()
        if line.startswith("version 3 is not a complete export"):
            ignored.set()

    with serve(said) as server:
        client = Client("shop", rest=server.rest_url)
        old = items(client.recommend(HISTORIES, k=5))
        with Askers(server) as askers:
            askers.wait_for_more()
            put(exports[1], tmp_path / "shop", 2)
            assert served.wait(120)
            askers.wait_for_more()
            new = items(client.recommend(HISTORIES, k=5))
            broken = tmp_path / "shop" / "3"
            broken.mkdir()
            (broken / "saved_model.pb").write_bytes(b"not a model")
            assert ignored.wait(120)
            askers.wait_for_more()
        assert client.status() == {3: "END", 2: "AVAILABLE", 1: "END"}
    assert old != new
    assert not askers.errors
    for answers in askers.answers:
        first = answers.index(new)
        assert first > 0
        # Only old answers before the switch, and only new ones after it.
        assert all(answer == old for answer in answers[:first])
        assert all(answer == new for answer in answers[first:])


def test_old_versions_are_freed(serve, exports, put, tmp_path):
    with serve() as server:
        inside = []
        for number in (2, 3):
            with server.model.lease() as (_, version):
                session = version._session
                inside += [weakref.ref(part) for part in (version, session, session.graph)]
            del version, session
            put(exports[number % 2], tmp_path / "shop", number)
            server.model.refresh()
            ask_grpc(server.address, columns())
            assert ask_rest(server, "/healthz")[1]["version"] == str(number)
        assert len(inside) == 2 * 3
        assert [ref for ref in inside if ref() is not None] == []
