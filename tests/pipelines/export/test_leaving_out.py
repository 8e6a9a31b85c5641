"""Exports that leave out items that never come back, and those that ask them for all items."""

import json

import numpy as np
import pytest
import tensorflow as tf

from pipelines.evaluation.evaluator import FULL, FULL_UNSEEN, Evaluator, model_scorer
from pipelines.export import export
from pipelines.export.blessing import live_results
from pipelines.export.exported_scorer import ExportedScorer
from pipelines.export.loaded_export import Recommender
from pipelines.export.model_card import METADATA
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import item_popularity
from pipelines.runtime.retrievals import BRUTE_FORCE, PRODUCT
from pipelines.serving.loaded_version import LoadedVersion

from ..exports import random_model

pytestmark = pytest.mark.slow
NAMES = ["view", "cart", "buy"]
RULES = {"bought": ["buy"], "viewed or bought": ["view", "buy"]}


@pytest.fixture(scope="module")
def versions(log, tmp_path_factory):
    """Returns exports of one model by what they leave out and how they search."""
    model, popularity = random_model(log), item_popularity(split(log))
    directory = tmp_path_factory.mktemp("models")

    def write(leaves_out, retrieval=PRODUCT):
        return export(
            *(model, log.items, popularity, directory / "shop", {"dataset": "test_log"}),
            retrieval=retrieval,
            leaves_out=leaves_out,
        )

    kept = {(name, PRODUCT): write(behaviors) for name, behaviors in RULES.items()}
    kept["bought", BRUTE_FORCE] = write(RULES["bought"], BRUTE_FORCE)
    return {**kept, "nothing": write([]), "model": model}


def random_histories(seed, count=20, longest=14):
    """Draws histories on few items; some events have an item or behaviour of no model."""
    rng = np.random.default_rng(seed)
    return [
        [
            (
                f"i{rng.integers(1, 9)}" if rng.random() < 0.9 else "?",
                str(rng.choice([*NAMES, "?"])),
            )
            for _ in range(rng.integers(0, longest))
        ]
        for _ in range(count)
    ]


def left_out_by_hand(history, behaviors, exclude_seen):
    """Returns the names of the items to leave out, one event at a time."""
    strongest = {}
    for item, behavior in history:
        rank = NAMES.index(behavior) if behavior in NAMES else -1
        strongest[item] = max(rank, strongest.get(item, -1))
    return {
        item
        for item, rank in strongest.items()
        if exclude_seen or (rank >= 0 and NAMES[rank] in behaviors)
    }


def padded(histories):
    """Returns items and behaviours `[batch, events]`, padded on the left."""
    width = max(map(len, histories))
    rows = [[("", "")] * (width - len(history)) + history for history in histories]
    items, behaviors = np.moveaxis(np.array(rows, dtype=object), -1, 0)
    return {"items": tf.constant(items.tolist()), "behaviors": tf.constant(behaviors.tolist())}


@pytest.mark.parametrize(
    ("name", "retrieval"),
    [("bought", PRODUCT), ("viewed or bought", PRODUCT), ("bought", BRUTE_FORCE)],
)
def test_items_are_left_out_by_their_strongest_behaviour(versions, log, name, retrieval):
    histories, exclude = random_histories(1), np.arange(20) % 3 == 0
    loaded, complete = (
        tf.saved_model.load(str(versions[key])) for key in [(name, retrieval), "nothing"]
    )
    asked = {**padded(histories), "k": tf.constant(log.num_items)}
    answer = loaded.signatures["recommend"](**asked, exclude_seen=tf.constant(exclude))
    whole = complete.signatures["recommend"](**asked, exclude_seen=tf.constant(False))
    left_out_any = 0
    for row, history in enumerate(histories):
        out = left_out_by_hand(history, RULES[name], exclude[row])
        given = [item for item in answer["items"][row].numpy().astype(str) if item]
        expected = [i for i in whole["items"][row].numpy().astype(str) if i not in out]
        assert given == expected
        scores = dict(
            zip(whole["items"][row].numpy().astype(str), whole["scores"][row].numpy(), strict=True)
        )
        np.testing.assert_allclose(
            answer["scores"][row].numpy()[: len(given)], [scores[item] for item in given], atol=1e-5
        )
        left_out_any += 0 < len(out) < len({item for item, _ in history})
    assert left_out_any > 5  # the histories tell an item that is left out from one that is not


def test_every_way_to_ask_answers_alike(versions):
    version = versions["bought", PRODUCT]
    history = [("i1", "view"), ("i2", "buy"), ("i1", "buy"), ("i1", "view"), ("i3", "cart")]
    answer = [item for item, _ in Recommender(version)(history, 30)]
    assert len(answer) == 28
    assert not {"i1", "i2"} & set(answer)
    given = {
        name: np.array([column], object)
        for name, column in zip(("items", "behaviors"), zip(*history, strict=True), strict=True)
    }
    served = LoadedVersion(version).signature("recommend")({**given, "k": np.array([30], np.int32)})
    assert served["items"][0].astype(str).tolist() == [*answer, "", ""]
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[e.encode() for e in column]))
        for name, column in zip(("items", "behaviors"), zip(*history, strict=True), strict=True)
    }
    feature["k"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[30]))
    example = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
    examples = tf.saved_model.load(str(version)).signatures["examples"]
    by_example = examples(examples=tf.constant([example]))["items"][0].numpy().astype(str)
    assert by_example.tolist() == [*answer, "", ""]
    assert len(Recommender(versions["nothing"])(history, 30)) == 30
    # A history without any event.
    assert len(Recommender(version)([], 30)) == 30


def test_the_export_says_what_it_leaves_out(versions):
    for key, expected in ((("viewed or bought", PRODUCT), ["view", "buy"]), ("nothing", [])):
        assert json.loads((versions[key] / METADATA).read_text())["leaves_out"] == expected


@pytest.mark.parametrize("key", [("viewed or bought", PRODUCT), ("bought", BRUTE_FORCE), "nothing"])
def test_a_live_version_is_evaluated_on_all_items(versions, log, key):
    """Otherwise items that it leaves out would rank below the answer, or be one that is last."""
    splits, version = split(log), versions[key]
    evaluator = Evaluator(log, splits.validation, seed=0)
    expected = evaluator(model_scorer(versions["model"], log), (FULL, FULL_UNSEEN))
    assert live_results(version, {"dataset": "another"}, splits) == expected
    scores = ExportedScorer(version, log)(splits.validation)
    whole = ExportedScorer(versions["nothing"], log)(splits.validation)
    np.testing.assert_allclose(scores, whole, atol=1e-5)
    # That changes nothing in the files.
    assert len(Recommender(version)([("i1", "buy")], 30)) == (30 if key == "nothing" else 29)
