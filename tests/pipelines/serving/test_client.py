import inspect
import re
import subprocess
import sys

import numpy as np
import pytest

from pipelines.export.loaded_export import Recommender
from pipelines.export.signatures import LOWEST_SCORE
from pipelines.serving import Client
from pipelines.serving import client as client_module
from pipelines.serving.served_model import ServedModel
from pipelines.serving.server import Server
from pipelines.serving.transports import ServerError

from .asking import HISTORIES

CANDIDATES = [["i3", "nope", "i9"], ["i1"], ["i2", "i4"]]


@pytest.fixture(scope="module", params=["gRPC", "REST"])
def place(request, server):
    """Returns how to reach the server, over gRPC or REST."""
    return {"address": server.address} if request.param == "gRPC" else {"rest": server.rest_url}


@pytest.fixture
def client(place):
    return Client("shop", timeout=60, **place)


def close(pairs, expected):
    assert [item for item, _ in pairs] == [item for item, _ in expected]
    scores = [[score for _, score in side] for side in (pairs, expected)]
    np.testing.assert_allclose(*scores, atol=1e-5)


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_recommendations_are_those_of_the_export(client, exports, exclude_seen):
    alone = Recommender(exports[1])
    answers = client.recommend(HISTORIES, 30, exclude_seen)
    for history, answer in zip(HISTORIES, answers, strict=True):
        close(answer, alone(history, 30, exclude_seen))
    assert (len(answers[1]) == 29) == exclude_seen
    assert all(score > LOWEST_SCORE for answer in answers for _, score in answer)


def test_candidates_are_scored_in_their_order(client):
    everything = [dict(answer) for answer in client.recommend(HISTORIES, 30)]
    for row, (asked, answer) in enumerate(
        zip(CANDIDATES, client.rank(HISTORIES, CANDIDATES), strict=True)
    ):
        assert [item for item, _ in answer] == asked
        for item, score in answer:
            if item == "nope":
                assert score is None
            else:
                assert score == pytest.approx(everything[row][item], abs=1e-5)


def test_the_example_runs(server, monkeypatch):
    monkeypatch.setattr(client_module, "DEFAULT_REST", server.rest_url)
    (code,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(Client), re.DOTALL)
    names = {"Client": Client}
    exec(code, names)
    (answer,) = names["answers"]
    assert len(answer) == 5


def test_behaviors_have_names_and_probabilities(client):
    assert client.behaviors() == ["view", "cart", "buy"]
    answers = client.behavior(HISTORIES, CANDIDATES)
    assert [len(answer) for answer in answers] == [3, 1, 2]
    for answer in answers:
        for probabilities in answer:
            assert list(probabilities) == ["view", "cart", "buy"]
            assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_nothing_is_asked_for_no_history(client):
    assert client.recommend([]) == client.rank([], []) == client.behavior([], []) == []
    (answer,) = client.recommend([[]], k=3)  # a user without events
    assert len(answer) == 3


@pytest.mark.parametrize("k", [2**31, 2**63, 2**70, -(2**40)])
def test_numbers_that_the_signature_has_not_are_refused(client, k):
    with pytest.raises(ServerError, match="k") as error:
        client.recommend(HISTORIES, k=k)
    assert error.value.code == "INVALID_ARGUMENT"


def test_half_of_a_surrogate_pair_is_refused(client):
    with pytest.raises(ServerError, match=r"items|surrogate") as error:
        client.recommend([[("\ud83d", "view")]])
    assert error.value.code == "INVALID_ARGUMENT"


def test_versions_and_labels(place):
    old, new = (
        [item for item, _ in Client("shop", **place, version=v).recommend(HISTORIES)[0]]
        for v in (1, 2)
    )
    stable = Client("shop", **place, label="stable")
    assert [item for item, _ in stable.recommend(HISTORIES)[0]] == old != new
    assert Client("shop", **place).status() == {2: "AVAILABLE", 1: "AVAILABLE"}
    assert stable.status() == {1: "AVAILABLE"}


def test_errors_say_what_the_server_says(place):
    with pytest.raises(ServerError, match="no model 'a b' is served") as error:
        Client("a b", **place).recommend(HISTORIES)
    assert error.value.code == "NOT_FOUND"
    with pytest.raises(ServerError, match="version 7"):
        Client("shop", **place, version=7).recommend(HISTORIES)
    with pytest.raises(ServerError, match="canary") as error:
        Client("shop", **place, label="canary").status()
    assert error.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("way", ["address", "rest"])
def test_no_server_is_an_error(way):
    with pytest.raises(ServerError, match=r"no answer from .*127\.0\.0\.1:9 ?.*running") as error:
        Client("shop", timeout=5, **{way: "127.0.0.1:9"}).status()
    assert error.value.code == "UNAVAILABLE"


def test_another_kind_of_server_is_an_error(server):
    with pytest.raises(ServerError, match="no answer from http"):
        Client("shop", rest=f"http://{server.address}", timeout=60).status()


def test_a_client_asks_in_one_way():
    with pytest.raises(ValueError, match="one of address and rest"):
        Client("shop", address="a:1", rest="http://b:2")
    with pytest.raises(ValueError, match="one of version and label"):
        Client("shop", version=1, label="stable")


def test_a_model_without_behaviors_says_so(without_behaviors):
    model = ServedModel(without_behaviors)
    with Server(model, port=0, rest_port=0) as server:
        for place in ({"address": server.address}, {"rest": server.rest_url}):
            client = Client("sasrec", timeout=60, **place)
            assert client.behaviors() is None
            assert len(client.recommend(HISTORIES, 4)[0]) == 4


def test_asking_over_rest_needs_no_tensorflow(server):
    script = f"""
import sys
from pipelines.serving import Client
print(Client("shop", rest={server.rest_url!r}, timeout=60).recommend([[("i3", "view")]], k=2))
assert not {{"tensorflow", "keras", "numpy", "grpc"}} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    expected = Client("shop", rest=server.rest_url).recommend([[("i3", "view")]], k=2)
    assert done.stdout.strip() == str(expected)
