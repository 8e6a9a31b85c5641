"""A served model, queried in five ways that give the same answer.

`hmar serve` answers as TensorFlow Serving does, over REST and gRPC, so all of this works against
TensorFlow Serving, too. Clients send and get names, of items and of behaviours.

    python examples/serve_and_ask.py
"""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import grpc
import keras
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from hmar_keras import HMAR, HMARConfig, TrainingConfig, compile_arguments
from pipelines.datasets import load_dataset
from pipelines.export import export
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import item_popularity
from pipelines.serving import Client
from pipelines.training.host_batches import TrainingData

HISTORY = [("12", "view"), ("7", "view"), ("7", "cart")]  # oldest first
ITEMS, BEHAVIORS = ([event[part] for event in HISTORY] for part in (0, 1))


# %% A model to serve
def export_model(directory):
    """Trains for an epoch and exports: `hmar train` and `hmar export` in a few lines."""
    keras.utils.set_random_seed(0)
    dataset = load_dataset("synthetic_shop/tiny")
    splits = split(dataset)
    model = HMAR(HMARConfig(dataset.num_items, dataset.behaviors, dim=16, max_length=16))
    training = TrainingConfig(epochs=1)
    model.compile(**compile_arguments(model, training))
    data = TrainingData(splits, model, training, seed=0)
    model.fit(data.dataset(), steps_per_epoch=data.steps_per_epoch, shuffle=False, verbose=0)
    export(model, dataset.items, item_popularity(splits), directory, {"dataset": dataset.name})


# %% The server
# Port 0 means any free port; the server prints its choice on standard error when it is ready. On
# SIGTERM, it first answers the requests in flight.
@contextlib.contextmanager
def serving(directory):
    """Runs a server inside the block; yields the address of gRPC and the URL of REST."""
    command = ["hmar", "serve", "--model", directory, "--port", "0", "--rest-port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            started = (re.search(r"gRPC on (\S+), REST on (\S+)", line) for line in server.stderr)
            yield next(found.groups() for found in started if found)
        finally:
            server.terminate()
            server.stderr.read()
    assert server.returncode == 0


# %% REST, with nothing but Python
def ask_rest(rest):
    """Returns the best items, from the URL that curl uses, too."""
    body = {"signature_name": "recommend", "inputs": inputs()}
    request = urllib.request.Request(f"{rest}/v1/models/shop:predict", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)["outputs"]["items"][0]


def inputs():
    """Returns one history; `k` and `exclude_seen` are optional, or given for each history."""
    return {"items": [ITEMS], "behaviors": [BEHAVIORS], "k": [5], "exclude_seen": [False]}


# %% REST, with curl
def ask_curl(rest):
    """Returns the best items; None if there is no curl."""
    body = json.dumps({"signature_name": "recommend", "inputs": inputs()})
    command = ["curl", "-s", "-d", body, f"{rest}/v1/models/shop:predict"]
    print("$", shlex.join(command))
    if not shutil.which("curl"):
        return None
    answer = subprocess.run(command, capture_output=True, check=True).stdout
    return json.loads(answer)["outputs"]["items"][0]


# %% gRPC, with TensorFlow Serving's own stubs
def ask_grpc(address):
    """Returns the best items; sends and gets tensors."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "shop", "recommend"
    for name, values in inputs().items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(request, timeout=30)
    return [item.decode() for item in tf.make_ndarray(answer.outputs["items"])[0]]


# %% This package's client, in Python and on the command line
def ask_client(address):
    """Returns the best items; `rest=` instead of `address=` needs no TensorFlow."""
    (answer,) = Client("shop", address=address, timeout=30).recommend([HISTORY], k=5)
    return [item for item, _ in answer]


def ask_command(rest):
    """Returns the best items; the command prints a line each, with the score after a tab."""
    history = ",".join(f"{item}:{behavior}" for item, behavior in HISTORY)
    command = ["hmar", "client", "--model", "shop", "--history", history, "-k", "5", "--rest", rest]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.split("\t")[0] for line in answer.splitlines()]


def main():
    """Exports, serves and queries."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder, "shop")
        export_model(directory)
        with serving(directory) as (address, rest):
            answers = {
                "urllib": ask_rest(rest),
                "curl": ask_curl(rest),
                "stubs of TensorFlow Serving": ask_grpc(address),
                "Client": ask_client(address),
                "hmar client": ask_command(rest),
            }
    answers = {way: items for way, items in answers.items() if items is not None}
    for way, items in answers.items():
        print(f"{way:28} {' '.join(items)}")
    assert all(len(items) == 5 and items == answers["urllib"] for items in answers.values())
    print(f"ways with the same answer: {len(answers)}")


if __name__ == "__main__":
    main()
