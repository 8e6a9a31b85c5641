"""A hashed item table, set with `--set`, in training and in the SavedModel."""

import numpy as np
import pytest
import tensorflow as tf

from hmar_keras.models import HMAR, HMARConfig
from pipelines.export import export
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import item_popularity
from pipelines.runtime.errors import InputError
from pipelines.workflow.settings import build_config


def test_it_can_be_set(log):
    config = build_config(log, assignments=["item_buckets=7"])
    assert config.model.item_buckets == 7
    # The default needs one row per item, and gives way.
    assert build_config(log).model.item_start == "cooccurrence" != config.model.item_start
    with pytest.raises(InputError, match="item_start=cooccurrence needs one row per item"):
        build_config(log, assignments=["item_buckets=7", "item_start=cooccurrence"])
    with pytest.raises(InputError, match="item_buckets"):
        build_config(log, assignments=["item_buckets=-1"])


@pytest.mark.slow
def test_the_export_finds_the_rows_of_the_model(tmp_path, log):
    settings = {"dim": 8, "max_length": 6, "item_buckets": 9}
    model = HMAR(HMARConfig(log.num_items, log.behaviors, **settings))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape))
    version = export(model, log.items, item_popularity(split(log)), tmp_path, {"seed": 0})
    asked = {"items": [["i3", "i7", "i3"]], "behaviors": [["view", "view", "buy"]]}
    asked = {name: tf.constant(strings) for name, strings in asked.items()}
    history = {"item_ids": [[3, 7, 3]], "behavior_ids": [[1, 1, 3]]}
    history = {name: np.array(ids, "int32") for name, ids in history.items()}
    everything = np.arange(1, log.num_items + 1, dtype="int32")[None]
    expected = model({**history, "candidate_ids": everything[:, None]})["ranking"][0, 0]

    signatures = tf.saved_model.load(str(version)).signatures
    candidates = tf.constant(log.items.tolist())[None]
    ranked = signatures["rank"](candidates=candidates, **asked)["scores"][0]
    np.testing.assert_allclose(ranked, expected, atol=1e-5)
    every = {"k": tf.constant(log.num_items), "exclude_seen": tf.constant(False)}
    best = signatures["recommend"](**asked, **every)["scores"][0]
    np.testing.assert_allclose(best, np.sort(expected)[::-1], atol=1e-5)
