"""Two-stage retrieval gives the same answers as one product, without a second table."""

import ast
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hmar_keras.layers import ItemTable, Remembered
from hmar_keras.models import Query, SASRec, SASRecConfig, SequentialRecommender
from hmar_keras.models.sequential_recommender import LOWEST_SCORE
from pipelines.export import export, retrieval
from pipelines.export.best_items import OneProduct, TwoStages
from pipelines.export.model_card import METADATA
from pipelines.export.retrieval import nearest_items
from pipelines.export.signatures import ServingModel
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import item_popularity
from pipelines.runtime.retrievals import BRUTE_FORCE, PRODUCT, STREAMING
from pipelines.serving.loaded_version import LoadedVersion
from pipelines.training.fit import prepare
from pipelines.training.run_config import RunConfig

from ..commands import fails

property_test = settings(deadline=None, max_examples=25, derandomize=True, database=None)
ITEMS, DIM, LENGTH, ROWS = 12, 3, 4, 3
LAYERS = (BRUTE_FORCE, STREAMING)
REMEMBERS = {"memory": True, "loss": "sampled_softmax", "shared_negatives": True}


class WholeNumbers:
    """A model with integer scores, so that many are equal and none is rounded.

    Args:
        remembers: whether a memory adds to the scores.
    """

    features = ("item_ids", "behavior_ids")
    score_catalog = SequentialRecommender.score_catalog
    read = question = SequentialRecommender.read
    config = types.SimpleNamespace(num_items=ITEMS)

    def __init__(self, remembers):
        rng = np.random.default_rng(0)
        self.item_table = ItemTable(ITEMS + 1, DIM)
        self.item_table.build()
        self.item_table.embeddings.assign(rng.integers(-1, 2, (ITEMS + 1, DIM)))
        self.numbers = tf.constant(rng.integers(1, 9, (LENGTH, DIM)), tf.int32)
        self.remembers = remembers
        self.bias, self.others = tf.constant(rng.integers(-2, 3, (2, ITEMS + 1)), tf.float32)

    def query(self, features):
        item_ids, behavior_ids = features["item_ids"], features["behavior_ids"]
        vectors = tf.cast(item_ids @ self.numbers % 3 - 1, tf.float32)
        gains = tf.gather([0.0, 1.0, -9.0], behavior_ids)
        gaining = tf.concat([item_ids, self.following(item_ids)], 1)
        gains = gaining, tf.tile(gains, [1, 2])
        if not self.remembers:
            return Query(vectors, vectors[:, :1], gains)
        named = tf.concat([self.following(item_ids, 5), item_ids], 1)
        is_named = tf.reduce_any(named[:, :, None] == tf.range(ITEMS + 1), axis=1)
        scores = tf.where(is_named, self.others, self.bias)
        memory = Remembered(
            gate=1.0, bias=self.bias, scores=scores, item_ids=named, touched_ids=item_ids
        )
        return Query(vectors, vectors[:, :1], gains, memory)

    @staticmethod
    def following(item_ids, times=1):
        """Returns another item for every item; several may have the same one."""
        return tf.where(item_ids > 0, item_ids * times % ITEMS + 1, 0)

    def corrected(self, item_ids):
        """Returns the items whose scores are not a product with a vector plus the bias."""
        found = {*item_ids, *self.following(item_ids).numpy()} - {0}
        return found | {*self.following(item_ids, 5).numpy()} - {0} if self.remembers else found


@pytest.fixture(scope="module", params=[False, True], ids=["without memory", "with memory"])
def whole_numbers(request):
    """Returns all ways to find the best items, by the name of the first stage."""
    model = WholeNumbers(request.param)
    popularity = tf.Variable([LOWEST_SCORE] + [float(item % 4) for item in range(ITEMS)])
    ids = tf.TensorSpec((None, None), tf.int32)
    read = {"item_ids": ids, "behavior_ids": ids}
    signature = [read, ids, tf.TensorSpec((), tf.int32)]
    ways = {PRODUCT: OneProduct(model, popularity)}
    for name in LAYERS:
        ways[name] = TwoStages(model, popularity, nearest_items(name, model.item_table))
    return {name: tf.function(way, input_signature=signature) for name, way in ways.items()}


def id_rows(width, high):
    rows = st.lists(st.integers(0, high), min_size=ROWS * width, max_size=ROWS * width)
    return rows.map(lambda ids: np.array(ids, np.int32).reshape(ROWS, width))


def features(items, behaviors):
    return {"item_ids": tf.constant(items), "behavior_ids": tf.constant(behaviors)}


@property_test
@given(id_rows(LENGTH, ITEMS), id_rows(LENGTH, 2), st.integers(0, ITEMS - 2), st.integers(0, ITEMS))
def test_the_same_items_in_the_same_order(whole_numbers, items, behaviors, best, k):
    """Holds even if the best items are hidden, up to the largest possible number."""
    history = features(items, np.where(items, behaviors, 0).astype(np.int32))
    hidden = np.zeros((ROWS, 0), np.int32)
    hidden = whole_numbers[PRODUCT](history, hidden, np.int32(best))[1].numpy()
    scores, ids = (part.numpy() for part in whole_numbers[PRODUCT](history, hidden, np.int32(k)))
    for name in LAYERS:
        found, found_ids = whole_numbers[name](history, hidden, np.int32(k))
        np.testing.assert_array_equal(found, scores)
        there = scores > LOWEST_SCORE
        np.testing.assert_array_equal(found_ids.numpy()[there], ids[there])


@pytest.mark.parametrize("remembers", [False, True])
@property_test
@given(id_rows(LENGTH, ITEMS), st.integers(1, ITEMS))
def test_what_an_approximate_stage_misses_is_missing_alone(remembers, items, k):
    """The stage finds only items with even ids, and fewer than requested."""
    model = WholeNumbers(remembers)
    popularity = tf.Variable([LOWEST_SCORE] + [0.0] * ITEMS)

    def even(vectors, k, bias):
        scores, ids = nearest_items(BRUTE_FORCE, model.item_table)(vectors, k, bias)
        is_even = ids % 2 == 0
        return tf.where(is_even, scores, LOWEST_SCORE)[:, :9], tf.where(is_even, ids, 0)[:, :9]

    items = np.where(items.any(axis=1, keepdims=True), items, 1).astype(np.int32)
    history = features(items, np.minimum(items, 1))
    asked = (history, np.zeros((ROWS, 0), np.int32), k)
    scores, ids = (part.numpy() for part in TwoStages(model, popularity, even)(*asked))
    whole = model.score_catalog(history).numpy()
    assert ids.shape == (ROWS, k)
    for row in range(ROWS):
        found = ids[row][scores[row] > LOWEST_SCORE]
        assert len(set(found)) == len(found)
        gaining = model.corrected(items[row])
        assert all(item % 2 == 0 or item in gaining for item in found)
        np.testing.assert_array_equal(scores[row, : len(found)], whole[row, found])
        assert np.all(np.diff(scores[row, : len(found)]) <= 0)
        assert len(found) == k or gaining <= set(found)


def random_weights(log, **changes):
    config = RunConfig.of(log.num_items, log.behaviors, dim=8, max_length=5, **changes)
    keras.utils.set_random_seed(0)
    model, rng = config.build_model(), np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape))
    if model.memory is not None:
        prepare(model, split(log))
        for weight in model.memory.trainable_weights:
            weight.assign_add(rng.normal(scale=0.1, size=weight.shape))
        assert model.memory.gate.numpy() and model.memory.pairs.pairs.numpy().any()
    return model


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"item_buckets": 7, "input_behaviors": "target"},
        {"indicators": False},
        REMEMBERS,
        {"indicators": False, **REMEMBERS, "item_buckets": 7},
        {"model": "sasrec"},
        {"model": "sasrec", **REMEMBERS},
    ],
    ids=[
        *("hmar", "hashed", "without indicators", "memory", "hashed, memory alone", "sasrec"),
        "sasrec with memory",
    ],
)
def served(request, log, tmp_path_factory):
    """Returns a model, and its signatures by the name of each layer."""
    model = random_weights(log, **request.param)
    vocabulary = tmp_path_factory.mktemp("vocabulary") / "items.txt"
    vocabulary.write_text("".join(f"{item}\n" for item in log.items))
    popularity = popularity_of(log)
    by_layer = {
        name: ServingModel(model, popularity, vocabulary, nearest_items(name, model.item_table))
        for name in LAYERS
    }
    return model, by_layer


def popularity_of(log):
    popularity = np.asarray(item_popularity(split(log)), np.float32).copy()
    popularity[0] = LOWEST_SCORE
    return popularity


def long_way(model, log, history, k, exclude_seen):
    """Ranks items for one history of (item id, behaviour id), scoring each item separately."""
    known = [(item, behavior) for item, behavior in history if item and behavior]
    seen = {item for item, _ in history if exclude_seen}
    if model.config.input_behaviors == "target":
        known = [event for event in known if event[1] == log.behaviors.target_id]
    known = known[-model.config.max_length :]
    scores = popularity_of(log)
    if known:
        items, behaviors = (np.array([column], np.int32) for column in zip(*known, strict=True))
        everything = np.arange(log.num_items + 1, dtype=np.int32)[None]
        history = {"item_ids": items, "behavior_ids": behaviors}
        scores = keras.ops.convert_to_numpy(model.score_candidates(history, everything))[0]
    order = sorted(range(1, log.num_items + 1), key=lambda item: (-scores[item], item))
    best = [item for item in order if item not in seen][: max(k, 0)]
    return [f"i{item}" for item in best], scores[best]


@st.composite
def requests(draw):
    """Draws three histories of item and behaviour ids (0 is unknown) and the options of each."""
    event = st.tuples(st.integers(0, 30), st.integers(0, 3))
    histories = draw(st.lists(st.lists(event, max_size=8), min_size=3, max_size=3))
    ks = draw(st.lists(st.integers(-1, 40), min_size=3, max_size=3))
    return histories, ks, draw(st.lists(st.booleans(), min_size=3, max_size=3))


def strings(rows):
    return tf.constant(np.array(rows, object).reshape(len(rows), -1), tf.string)


@pytest.mark.slow
@settings(property_test, max_examples=12)
@given(requests())
def test_recommend_equals_the_long_way(served, log, asked):
    model, by_layer = served
    histories, ks, exclude = asked
    longest = max(map(len, histories))
    padded = [[(None, None)] * (longest - len(history)) + history for history in histories]
    names = ("stare", *log.behaviors.names)
    items = [["" if i is None else f"i{i}" if i else "?" for i, _ in row] for row in padded]
    behaviors = [["" if b is None else names[b] for _, b in row] for row in padded]
    expected = [long_way(model, log, *row) for row in zip(histories, ks, exclude, strict=True)]
    for layer in by_layer.values():
        answer = layer.recommend(
            strings(items), strings(behaviors), tf.constant(ks), tf.constant(exclude)
        )
        found = answer["items"].numpy().astype(str)
        assert found.shape[1] == min(max(0, *ks), log.num_items)
        for row, (best, scores) in enumerate(expected):
            rest = found.shape[1] - len(best)
            assert found[row].tolist() == best + [""] * rest
            found_scores = answer["scores"][row, : len(best)]
            np.testing.assert_allclose(found_scores, scores, rtol=1e-5, atol=1e-5)
            assert np.all(answer["scores"][row, len(best) :] == np.float32(LOWEST_SCORE))


@pytest.fixture(scope="module")
def exports(model, log, tmp_path_factory):
    """Returns an export with each layer."""
    folder, popularity = tmp_path_factory.mktemp("models"), item_popularity(split(log))
    return {
        name: export(model, log.items, popularity, folder / name, {}, retrieval=name)
        for name in LAYERS
    }


@pytest.mark.slow
def test_the_export_says_how_it_retrieves(exports, version):
    for name, path in {PRODUCT: version, **exports}.items():
        assert json.loads((path / METADATA).read_text())["retrieval"] == name


def test_there_is_one_table(exports, version):
    """A retrieval adds no variable but the counter of TensorFlow Recommenders' streaming."""

    def stored(path):
        reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
        shapes = reader.get_variable_to_shape_map()
        return sorted(shape for name, shape in shapes.items() if "VARIABLE_VALUE" in name)

    assert stored(exports[BRUTE_FORCE]) == stored(version)
    assert stored(exports[STREAMING]) == [[], *stored(version)]


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_the_graph_holds_no_item(name, log, tmp_path):
    """Even as numbers, the items would take more than a megabyte."""
    count = 300_000
    model = SASRec(SASRecConfig(count, log.behaviors, dim=2, max_length=5))
    items = np.arange(count).astype(str)
    path = export(model, items, np.zeros(count + 1), tmp_path / "large", {}, retrieval=name)
    assert (path / "saved_model.pb").stat().st_size < 1_000_000


HISTORY = [("i3", "view"), ("i7", "view"), ("i3", "cart"), ("i30", "buy")]


@pytest.mark.slow
def test_it_answers_wherever_tensorflow_is(exports, model, log, tmp_path):
    """In a process with TensorFlow only, and in a session like that of `hmar serve`."""
    behaviors = {name: log.behaviors.id_of(name) for name in log.behaviors.names}
    history = [(int(item[1:]), behaviors[name]) for item, name in HISTORY]
    expected, scores = long_way(model, log, history, 9, exclude_seen=True)
    script = f"""
import sys
for name in ("keras", "tf_keras", "hmar_keras", "pipelines", "tensorflow_recommenders"):
    sys.modules[name] = None  # makes importing it an error
import tensorflow as tf
items, behaviors = zip(*{HISTORY!r})
for path in sys.argv[1:]:
    loaded = tf.saved_model.load(path)
    answer = loaded.signatures["recommend"](
        items=tf.constant([items]), behaviors=tf.constant([behaviors]),
        k=tf.constant(9), exclude_seen=tf.constant(True),
    )
    print(*(item.decode() for item in answer["items"][0].numpy()))
"""
    process = subprocess.run(
        [sys.executable, "-P", "-c", script, *map(str, exports.values())],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == [" ".join(expected)] * len(LAYERS)
    items, names = (np.array([column], object) for column in zip(*HISTORY, strict=True))
    options = {"k": np.int32(9), "exclude_seen": np.bool_(True)}
    for path in exports.values():
        recommend = LoadedVersion(path).signature("recommend")
        answer = recommend({"items": items, "behaviors": names, **options})
        assert answer["items"][0].astype(str).tolist() == expected
        np.testing.assert_allclose(answer["scores"][0], scores, atol=1e-5)


def test_an_unknown_retrieval_is_refused(hmar):
    fails(hmar("export", "run", "--retrieval", "magic"), "magic", "product, brute_force")


def test_tensorflow_recommenders_is_imported_only_where_it_is_asked_for():
    """Other commands must neither wait for it nor load its Keras."""
    root = Path(retrieval.__file__).parents[2]
    paths = [path for name in ("hmar_keras", "pipelines") for path in (root / name).rglob("*.py")]
    assert len(paths) > 50
    for path in paths:
        if path != Path(retrieval.__file__):
            assert "tensorflow_recommenders" not in path.read_text(), path
        for statement in ast.parse(path.read_text()).body:  # code that runs on import
            text = ast.unparse(statement)
            if isinstance(statement, ast.Import | ast.ImportFrom):
                assert "export.retrieval" not in text and "import retrieval" not in text, path
