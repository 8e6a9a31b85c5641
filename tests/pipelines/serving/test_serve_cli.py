"""The commands, and a server that is stopped while it is queried."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc

from pipelines.cli import serve as serve_cli

from ..commands import fails
from .asking import HISTORIES, columns, predict_request

HISTORY = "i3:view,i7:view,i3:cart,i9:view"


@pytest.fixture
def process(exports, tmp_path):
    """Starts `hmar serve` with one thread in a new process, with the lines it prints as `lines`."""
    command = [sys.executable, "-c", "from pipelines.cli.app import main; main()", "serve"]
    command += ["--model", str(exports[0].parent), "--port", "0", "--rest-port", "0"]
    command += ["--threads", "1", "--label", "stable=1"]
    environment = {key: os.environ[key] for key in os.environ if key != "TF_CPP_MIN_LOG_LEVEL"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    process.lines = []
    for line in process.stdout:
        process.lines.append(line.strip())
        if line.startswith("serving"):
            break
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_sigterm_answers_what_is_in_flight(process):
    *loaded, serving = process.lines
    assert loaded == ["loaded version 1", "loaded version 2"]
    place = re.fullmatch(
        r"serving shop: gRPC on (127\.0\.0\.1:\d+), REST on http://127\.0\.0\.1:(\d+)", serving
    )
    # Long enough that with one thread most requests are waiting when the signal arrives.
    question = columns(HISTORIES * 300)
    with grpc.insecure_channel(place[1], [("grpc.max_receive_message_length", -1)]) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_request(question)
        calls = [stub.Predict.future(request, timeout=120) for _ in range(20)]
        responses = [ask_without_waiting(int(place[2]), question) for _ in range(20)]
        calls[0].result()
        waiting = sum(not call.done() for call in calls)
        process.send_signal(signal.SIGTERM)
        answers = [tf.make_ndarray(call.result().outputs["items"]).tolist() for call in calls]
    assert waiting > 0
    assert all(answer == answers[0] for answer in answers)
    expected = [[item.decode() for item in row] for row in answers[0]]
    for response in responses:
        response.begin()
        assert response.status == 200
        assert json.loads(response.read())["outputs"]["items"] == expected
    assert process.wait(120) == 0
    rest = process.stdout.read().splitlines()
    assert rest == ["stopping: requests in flight are answered first", "stopped"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(place[2])), 60)


def ask_without_waiting(port, question):
    """Sends a request; the response can be read later."""
    body = json.dumps({"inputs": question}).encode()
    connection = socket.create_connection(("127.0.0.1", port), 120)
    head = f"POST /v1/models/shop:predict HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
    # In a thread, because the kernel may not accept all of it before the server reads.
    threading.Thread(target=connection.sendall, args=(head.encode() + b"\r\n" + body,)).start()
    return http.client.HTTPResponse(connection, method="POST")


def test_a_server_outlives_who_reads_its_words(process):
    port = int(re.search(r"http://127\.0\.0\.1:(\d+)", process.lines[-1])[1])
    process.stdout.close()  # as `hmar serve 2>&1 | head -3` does
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 60)


@pytest.mark.parametrize("way", ["gRPC", "REST"])
def test_the_client_prints_as_recommend_does(hmar, server, exports, way):
    place = ["--address", server.address] if way == "gRPC" else ["--rest", server.rest_url]
    for options in ([], ["-k", "3", "--exclude-seen"]):
        alone = hmar("recommend", "--model", exports[1], "--history", HISTORY, *options)
        asked = hmar("client", "--model", "shop", "--history", HISTORY, *place, *options)
        assert (asked.returncode, asked.stderr) == (0, "")
        assert asked.stdout == alone.stdout
    strange = ["--history", f"nothing:view,{HISTORY}"]
    alone = hmar("recommend", "--model", exports[1], *strange)
    asked = hmar("client", "--model", "shop", *strange, *place)
    assert (asked.stdout, asked.stderr) == (alone.stdout, alone.stderr)
    assert "nothing" in asked.stderr
    version = ["--version", "1"] if way == "gRPC" else ["--label", "stable"]
    alone = hmar("recommend", "--model", exports[0], "--history", HISTORY)
    asked = hmar("client", "--model", "shop", "--history", HISTORY, *place, *version)
    assert asked.stdout == alone.stdout
    ranked = hmar(
        "client", "--model", "shop", "--history", HISTORY, *place, "--candidates", "i1, nope,i2,i3"
    )
    lines = [line.split("\t") for line in ranked.stdout.splitlines()]
    assert sorted(item for item, _ in lines) == ["i1", "i2", "i3"]
    scores = [float(score) for _, score in lines]
    assert scores == sorted(scores, reverse=True)
    assert "nope" in ranked.stderr


def test_the_client_knows_behaviors_from_the_server(hmar, server):
    asked = hmar("client", "--model", "shop", "--history", "i3:stare", "--rest", server.rest_url)
    fails(asked, "view, cart, buy")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rest", "http://127.0.0.1:9"], "is a server running there"),
        (["--address", "127.0.0.1:9"], "is a server running there"),
        (["--address", "a:1", "--rest", "b"], "one of them"),
        (["--version", "1", "--label", "b"], "one of them"),
    ],
)
def test_a_client_that_cannot_ask_is_one_sentence(hmar, arguments, words):
    fails(hmar("client", "--model", "shop", "--history", "i3:view", *arguments), words)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ("a:view,b:add to cart", ["add to cart", "view"]),
        ("urn:a:view, b:view", ["view"]),
        ('[["a,b", "buy"]]', ["buy"]),
        ("a", ["view"]),
        ("[1]", ["view"]),
    ],
)
def test_without_names_the_last_colon_divides(history, expected):
    assert serve_cli._behaviors_in(history) == expected


def test_what_cannot_be_served_is_one_sentence(hmar, exports, server, tmp_path):
    free = ["--port", "0", "--rest-port", "0"]
    shop = ["--model", exports[0].parent]
    fails(hmar("serve", *shop, "--port", server.port, "--rest-port", "0"), "--port", "in use")
    fails(hmar("serve", *shop, "--port", "0", "--rest-port", server.rest_port), "--rest-port")
    fails(hmar("serve", "--model", tmp_path / "nowhere", *free), "no exported model", "--model")
    fails(hmar("serve", "--model", exports[0], *free), f"give {exports[0].parent} as")
    broken = tmp_path / "shop" / "1"
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"not a model")
    *_, last = hmar("serve", "--model", tmp_path / "shop", *free).stderr.splitlines()
    assert last.startswith("hmar: ") and "complete export" in last
    fails(hmar("serve", *shop, *free, "--label", "stable"), "LABEL=VERSION")
    fails(hmar("serve", *shop, *free, "--host", "192.0.2.1"), "192.0.2.1")
