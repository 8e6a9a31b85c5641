"""A model that reads times is exported, and queried with them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from hmar_keras import NextItemConfig, SequentialRecommender
from hmar_keras.layers import ItemEmbedding
from hmar_keras.models import recommender_inputs
from pipelines.evaluation.scoring import model_scorer
from pipelines.export import export
from pipelines.export.exported_scorer import ExportedScorer
from pipelines.export.loaded_export import Recommender
from pipelines.protocol.splits import split
from pipelines.runtime.errors import InputError
from pipelines.serving import Client

pytestmark = pytest.mark.slow


class Clock(SequentialRecommender):
    """A model whose states change with the time of each event."""

    features = ("item_ids", "behavior_ids", "timestamps")

    def __init__(self, config, dtype=None, **kwargs):
        items = ItemEmbedding(config.num_items, config.dim)
        inputs = recommender_inputs(self.features)
        turned = ops.cos(0.3 * inputs["timestamps"])[..., None]
        scores = items(inputs["candidate_ids"], items(inputs["item_ids"]) * turned)
        outputs = {"ranking": keras.layers.Identity(name="ranking")(scores)}
        super().__init__(config, dtype, inputs=inputs, outputs=outputs, **kwargs)


@pytest.fixture(scope="module")
def clock(log, tmp_path_factory):
    """Returns the model and its export."""
    keras.utils.set_random_seed(0)
    model = Clock(NextItemConfig(log.num_items, log.behaviors, dim=8, max_length=4))
    popularity = np.arange(log.num_items + 1.0)
    return model, export(model, log.items, popularity, tmp_path_factory.mktemp("m") / "clock", {})


HISTORY = [
    ("i3", "view"),
    ("i7", "buy"),
    ("?", "view"),
    ("i2", "view"),
    ("i9", "cart"),
    ("i4", "buy"),
]
TIMES = [1_700_000_000_000 + each for each in (1, 3, 4, 8, 9, 12)]


def expected(model):
    """Returns the answer to the four newest known events, with times since the first of them."""
    read = {
        "item_ids": [[7, 2, 9, 4]],
        "behavior_ids": [[3, 1, 2, 3]],
        "timestamps": [[0.0, 5.0, 6.0, 9.0]],
    }
    scores = ops.convert_to_numpy(model.score_catalog(read))[0]
    best = np.argsort(-scores[1:], kind="stable")[:5] + 1
    return [f"i{item}" for item in best], scores[best]


def test_every_way_to_ask_gives_the_same(clock):
    model, version = clock
    names, scores = expected(model)
    answer = Recommender(version)(HISTORY, 5, times=TIMES)
    assert [name for name, _ in answer] == names
    np.testing.assert_allclose([score for _, score in answer], scores, rtol=1e-5)
    other = Recommender(version)(HISTORY, 5)  # all events at the same time
    assert other != answer

    items, behaviors = zip(*HISTORY, strict=True)
    texts = {"items": items, "behaviors": behaviors}
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[x.encode() for x in values]))
        for name, values in texts.items()
    }
    feature["k"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[5]))

    def ask(times):
        feature["times"] = tf.train.Feature(int64_list=tf.train.Int64List(value=times))
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        examples = tf.saved_model.load(str(version)).signatures["examples"]
        return examples(examples=tf.constant([example.SerializeToString()]))

    found = ask(TIMES)
    assert [name.decode() for name in found["items"].numpy()[0]] == names
    np.testing.assert_allclose(found["scores"].numpy()[0], scores, rtol=1e-5)
    assert [name.decode() for name in ask([])["items"].numpy()[0]] == [name for name, _ in other]
    with pytest.raises(tf.errors.InvalidArgumentError, match="times must be one per event"):
        ask(TIMES[:2])


def test_it_is_evaluated_with_times(clock, log):
    model, version = clock
    questions = split(log).test
    np.testing.assert_allclose(
        ExportedScorer(version, log)(questions)[:, 1:],
        model_scorer(model, log)(questions)[:, 1:],
        rtol=1e-4,
        atol=1e-5,
    )


def test_times_and_users_that_are_too_few_are_refused(clock):
    with pytest.raises(InputError, match="2 times are given for 6 events"):
        Recommender(clock[1])(HISTORY, 5, times=TIMES[:2])
    with pytest.raises(InputError, match="reads no users"):
        Recommender(clock[1])(HISTORY, 5, user="u1")
    client = Client("shop", rest="http://127.0.0.1:1")
    with pytest.raises(InputError, match="1 users for 2 histories"):
        client.recommend([HISTORY, HISTORY], users=["u1"])
    with pytest.raises(InputError, match="times and events differ in number"):
        client.recommend([HISTORY], times=[TIMES[:2]])
