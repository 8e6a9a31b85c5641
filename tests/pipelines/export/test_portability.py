"""A request gets the same answer in this process and wherever only TensorFlow is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

pytestmark = pytest.mark.process

SOURCE = Path(__file__).parent.parent / "portability" / "load_and_ask.cc"
HISTORY = [("i3", "view"), ("i7", "view"), ("i3", "cart"), ("i9", "view"), ("i30", "buy")]
K = 12
QUIET = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


@pytest.fixture(scope="module")
def expected(model, log):
    """Returns the model's own best items and their scores."""
    ids = {name: row + 1 for row, name in enumerate(log.items.tolist())}
    items = np.array([[ids[item] for item, _ in HISTORY]], np.int32)
    behaviors = np.array([[log.behaviors.id_of(name) for _, name in HISTORY]], np.int32)
    scores = keras.ops.convert_to_numpy(
        model.score_catalog({"item_ids": items, "behavior_ids": behaviors})
    )[0, 1:]
    best = np.argsort(-scores, kind="stable")[:K]
    return [(log.items[row], float(scores[row])) for row in best]


def same(answer, expected):
    assert [item for item, _ in answer] == [item for item, _ in expected]
    np.testing.assert_allclose(
        [score for _, score in answer], [score for _, score in expected], rtol=0, atol=1e-5
    )


def lines(output):
    """Parses answers printed as `item<TAB>score`."""
    rows = [line.split("\t") for line in output.splitlines() if "\t" in line]
    return [(item, float(score)) for item, score in rows]


def output_of(command, directory):
    """Runs a program, which must succeed, and returns what it prints."""
    process = subprocess.run(
        command, cwd=directory, env=QUIET, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_in_this_process(version, expected):
    loaded = tf.saved_model.load(str(version))
    items, behaviors = zip(*HISTORY, strict=True)
    answer = loaded.signatures["recommend"](
        items=tf.constant([items]),
        behaviors=tf.constant([behaviors]),
        k=tf.constant(K),
        exclude_seen=tf.constant(False),
    )
    names = answer["items"][0].numpy().astype(str).tolist()
    same(list(zip(names, answer["scores"][0].numpy().tolist(), strict=True)), expected)


def test_in_python_with_tensorflow_alone(version, expected, tmp_path):
    script = f"""
import sys

for name in ("keras", "tf_keras", "hmar_keras", "pipelines"):
    sys.modules[name] = None  # to import it is an error
import tensorflow as tf

loaded = tf.saved_model.load({str(version)!r})
items, behaviors = zip(*{HISTORY!r})
answer = loaded.signatures["recommend"](
    items=tf.constant([items]), behaviors=tf.constant([behaviors]),
    k=tf.constant({K}), exclude_seen=tf.constant(False),
)
for item, score in zip(answer["items"][0].numpy(), answer["scores"][0].numpy()):
    print(item.decode(), repr(float(score)), sep="\\t")
"""
    same(lines(output_of([sys.executable, "-P", "-c", script], tmp_path)), expected)


def test_in_cpp(version, expected, tmp_path):
    """Uses the C++ runtime in TensorFlow's wheel; the program contains no Python."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    libraries = ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"]
    directory = Path(tf.sysconfig.get_lib())
    if not all((directory / name).exists() for name in libraries):
        pytest.skip("this TensorFlow comes without its C++ libraries")
    program = tmp_path / "load_and_ask"
    command = [compiler, *tf.sysconfig.get_compile_flags(), "-w", str(SOURCE), "-o", str(program)]
    # The session factory registers itself when its library is loaded; nothing refers to it.
    command += [f"-L{directory}", f"-Wl,-rpath,{directory}", "-Wl,--no-as-needed"]
    command += [f"-l:{name}" for name in libraries]
    compiled = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert compiled.returncode == 0, compiled.stderr[-4000:]
    words = [word for event in HISTORY for word in event]
    same(lines(output_of([program, version, str(K), *words], tmp_path)), expected)


def test_under_saved_model_cli(version, expected, tmp_path):
    items, behaviors = (list(column) for column in zip(*HISTORY, strict=True))
    inputs = f"items=[{items}];behaviors=[{behaviors}];k={K};exclude_seen=False"
    script = "from tensorflow.python.tools.saved_model_cli import main; main()"
    command = [sys.executable, "-P", "-c", script, "run", "--dir", str(version)]
    command += ["--tag_set", "serve", "--signature_def", "recommend"]
    output_of([*command, "--input_exprs", inputs, "--outdir", str(tmp_path)], tmp_path)
    names = np.load(tmp_path / "items.npy", allow_pickle=True)[0].astype(str).tolist()
    scores = np.load(tmp_path / "scores.npy")[0].tolist()
    same(list(zip(names, scores, strict=True)), expected)


def joined(requests):
    """Joins requests with one history each into a batch, padded as by TensorFlow Serving."""
    longest = max(len(items) for items, _ in requests)
    columns = []
    for column in zip(*requests, strict=True):
        columns.append([[*words, *[words[0]] * (longest - len(words))] for words in column])
    return columns


def test_joined_with_longer_histories_as_tensorflow_serving_does(version, expected):
    """It right-pads each request with its own first string, which therefore has to be ""."""
    loaded = tf.saved_model.load(str(version))
    items, behaviors = (["", *column] for column in zip(*HISTORY, strict=True))
    other = ["", *["i5"] * 20], ["", *["cart"] * 20]
    columns = joined([(items, behaviors), other])
    assert columns[0][0][len(items) :] == [""] * 15
    answer = loaded.signatures["recommend"](
        items=tf.constant(columns[0]),
        behaviors=tf.constant(columns[1]),
        k=tf.constant([K, K + 3]),
        exclude_seen=tf.constant([False, True]),
    )
    names = answer["items"][0].numpy().astype(str).tolist()
    assert names[K:] == [""] * 3
    same(list(zip(names, answer["scores"][0].numpy().tolist(), strict=True))[:K], expected)
