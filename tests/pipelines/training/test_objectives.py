"""The inputs and labels of batches, from both batch makers, against the log."""

import dataclasses
import types

import keras
import numpy as np
import pytest
from keras import ops

from hmar_keras import (
    MaskedItems,
    NextItem,
    NextItemConfig,
    SampledSoftmaxLoss,
    SequentialRecommender,
    TrainingConfig,
)
from hmar_keras.layers import ItemEmbedding, PositionEmbedding
from hmar_keras.models import MODELS, recommender_inputs, register_model
from hmar_keras.objectives import ranking_loss
from hmar_keras.schema import FEATURES
from pipelines.evaluation.evaluator import Evaluator, model_scorer
from pipelines.protocol.splits import split
from pipelines.runtime.errors import InputError
from pipelines.runtime.hardware import Hardware
from pipelines.training.fit import compile_model, train
from pipelines.training.host_batches import evaluation_dataset
from pipelines.training.run_config import RunConfig
from pipelines.training.run_directory import RunDirectory

from .epochs import epochs_of

LENGTH = 6


def batches(way, log, objective, features, epochs=1, **settings):
    """Returns the batches of a training, as NumPy."""
    config = NextItemConfig(log.num_items, log.behaviors, max_length=LENGTH, **settings)
    model = types.SimpleNamespace(config=config, features=features, objective=lambda: objective)
    data = way(split(log), model, TrainingConfig(batch_size=8), 3)
    return epochs_of(data, 0, epochs)


def masked(log, **changes):
    settings = {"share": 0.3, "max_length": LENGTH, "num_negatives": 4, **changes}
    loss = SampledSoftmaxLoss([1.0] * 3, 0.1)
    return MaskedItems(loss, mask_id=log.num_items + 1, target_id=3, **settings)


@pytest.mark.parametrize("shared", [False, True])
def test_masked_items_are_hidden_and_asked_for(way, log, shared):
    splits = split(log)
    found = batches(way, log, masked(log, shared_negatives=shared), ("item_ids", "behavior_ids"), 8)
    hidden_events = events = rows = 0
    seen = set()
    for inputs, truths in found:
        items, behaviors = inputs["candidate_ids"][..., 0], inputs["behavior_ids"]
        hidden = inputs["item_ids"] == log.num_items + 1
        real = items > 0
        assert hidden.any(axis=1).all() and not hidden[~real].any()
        np.testing.assert_array_equal(inputs["item_ids"][~hidden], items[~hidden])
        np.testing.assert_array_equal(truths["ranking"], np.where(hidden, behaviors, 0))
        drawn = inputs["negative_ids"] if shared else inputs["candidate_ids"][..., 1:]
        assert drawn.shape[-1] == 4 and drawn.min() >= 1 and drawn.max() <= log.num_items
        hidden_events += hidden.sum()
        events += real.sum()
        rows += len(items)
        seen |= {tuple(row[row > 0].tolist()) for row in items}
    # The newest event is hidden if no other is, so short windows exceed the share.
    assert 0.3 < hidden_events / events < 0.42
    starts, ends = splits.train_starts, splits.train_ends
    windows = [log.item_ids[max(s, e - LENGTH) : e] for s, e in zip(starts, ends, strict=True)]
    assert seen == {tuple(window.tolist()) for window in windows if len(window)}
    assert rows == 8 * sum(len(window) > 0 for window in windows)


def test_all_windows_hide_every_event_as_often(way, log):
    found = batches(way, log, masked(log, windows="all", share=1.0), ("item_ids", "behavior_ids"))
    items = np.concatenate([inputs["candidate_ids"][..., 0].ravel() for inputs, _ in found])
    trained = log.item_ids[split(log).training_events()]
    np.testing.assert_array_equal(np.sort(items[items > 0]), np.sort(trained))


def test_a_history_is_asked_by_a_hidden_event_at_its_end(log):
    objective = masked(log)
    full = {"item_ids": [[1, 2, 3, 4, 5, 6]], "behavior_ids": [[1, 1, 2, 2, 3, 3]]}
    full["timestamps"] = [[0.0, 5.0, 6.0, 6.0, 8.0, 9.0]]
    short = {"item_ids": [[0, 2, 3]], "behavior_ids": [[0, 1, 2]], "user_ids": [7]}
    short["timestamps"] = [[0.0, 0.0, 2.5]]
    asked = [
        {name: np.array(value).tolist() for name, value in objective.question(each).items()}
        for each in (
            {name: ops.convert_to_tensor(value) for name, value in each.items()}
            for each in (full, short)
        )
    ]
    assert asked[0] == {
        "item_ids": [[2, 3, 4, 5, 6, 31]],
        "behavior_ids": [[1, 2, 2, 3, 3, 3]],
        "timestamps": [[0.0, 1.0, 1.0, 3.0, 4.0, 4.0]],
    }
    assert asked[1] == {
        "item_ids": [[0, 2, 3, 31]],
        "behavior_ids": [[0, 1, 2, 3]],
        "user_ids": [7],
        "timestamps": [[0.0, 0.0, 2.5, 2.5]],
    }


@pytest.mark.parametrize("order", ["time", "random"])
def test_users_and_times_are_those_of_the_events(way, log, order):
    """Holds for times in milliseconds, of 13 digits, up to float32's precision within a day."""
    rng = np.random.default_rng(0)
    gaps = rng.integers(0, 10_000_000, log.num_events)
    times = 1_700_000_000_000 + np.cumsum(gaps)
    log = dataclasses.replace(log, timestamps=times)
    splits = split(log)
    config = NextItemConfig(log.num_items, log.behaviors, training_order=order)
    objective = NextItem.of(config)
    tried = 0
    for inputs, _ in batches(way, log, objective, FEATURES):
        for row, user in enumerate(inputs["user_ids"] - 1):
            end = splits.train_ends[user]
            start = max(splits.train_starts[user], end - LENGTH - 1)
            window = range(start, end)
            items = [*inputs["item_ids"][row], inputs["candidate_ids"][row, -1, 0]]
            assert sorted(i for i in items if i) == sorted(log.item_ids[window].tolist())
            expected = {}
            for event in window:
                expected.setdefault(int(log.item_ids[event]), []).append(
                    times[event] - times[start]
                )
            for item, behavior, time in zip(
                *(inputs[name][row] for name in ("item_ids", "behavior_ids", "timestamps")),
                strict=True,
            ):
                assert (item > 0) == (behavior > 0)
                of_item = expected[int(item)] if item else [0]
                assert min(abs(time - each) for each in of_item) <= 8
                tried += item > 0
            if order == "time":
                assert np.all(np.diff(inputs["timestamps"][row]) >= 0)
    assert tried > 100


@pytest.fixture
def cloze():
    """Registers a model with bidirectional attention for one test."""

    @register_model("cloze")
    class Cloze(SequentialRecommender):
        """Bidirectional attention over items, some of them hidden."""

        def __init__(self, config, dtype=None, **kwargs):
            items = ItemEmbedding(config.num_items + 1, config.dim)  # one more, for hidden items
            attention = keras.layers.MultiHeadAttention(1, config.dim)
            inputs = recommender_inputs(self.features, config.shared_negatives)
            states = PositionEmbedding(config.max_length)(items(inputs["item_ids"]))
            mask = ops.not_equal(inputs["item_ids"], 0)[:, None, :]
            states = states + attention(states, states, attention_mask=mask)
            scores = items(inputs["candidate_ids"], states)
            outputs = {"ranking": keras.layers.Identity(name="ranking")(scores)}
            super().__init__(config, dtype, inputs=inputs, outputs=outputs, **kwargs)

        def objective(self):
            config = self.config
            return MaskedItems(
                ranking_loss(config),
                mask_id=config.num_items + 1,
                target_id=config.behaviors.target_id,
                share=0.4,
                max_length=config.max_length,
                num_negatives=config.num_negatives,
            )

    yield Cloze
    del MODELS["cloze"]


def test_a_masked_item_model_trains_and_answers(cloze, log, tmp_path):
    config = RunConfig.of(
        log.num_items, log.behaviors, model="cloze", dim=8, max_length=LENGTH, epochs=4,
        batch_size=8, learning_rate=0.02, loss="sampled_softmax", num_negatives=8,
    )  # fmt: skip
    splits = split(log)
    run = RunDirectory.create(tmp_path / "run", {}, config)
    model = train(splits, config, run, seed=0)
    losses = [epoch["loss"] for epoch in run.history()]
    assert losses[-1] < losses[0]
    history = {"item_ids": [[0, 3, 4]], "behavior_ids": [[0, 1, 2]]}
    every = np.arange(1, log.num_items + 1)[None]
    direct = model(
        {
            "item_ids": np.array([[0, 3, 4, 31]]),
            "behavior_ids": np.array([[0, 1, 2, 3]]),
            "candidate_ids": every[:, None],
        }
    )["ranking"][:, -1]
    catalog = ops.convert_to_numpy(model.score_catalog(history))
    np.testing.assert_allclose(catalog[:, 1:], ops.convert_to_numpy(direct), atol=1e-5)
    results = Evaluator(log, splits.test, 0)(model_scorer(model, log))
    assert 0 < results["full"]["ndcg@10"] < 1
    # Stock validation hides the item in the same way.
    inputs, _ = next(iter(evaluation_dataset(splits, splits.test, model, 4, 0)))
    assert (inputs["item_ids"].numpy()[:, -1] == log.num_items + 1).all()


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ("few_inputs", r"must build its graph from recommender_inputs.*shared_negatives=false"),
        ("more_outputs", "outputs of Odd are more, ranking, but its objective has ranking"),
    ],
)
def test_a_graph_that_its_objective_does_not_fit_is_refused(log, graph, message):
    """Keras would ignore the negatives, and train an output without a loss."""

    class Odd(SequentialRecommender):
        def __init__(self, config, dtype=None, **kwargs):
            items = ItemEmbedding(config.num_items, config.dim)
            inputs = recommender_inputs(self.features)
            scores = items(inputs["candidate_ids"], items(inputs["item_ids"]))
            outputs = {"ranking": keras.layers.Identity(name="ranking")(scores)}
            if graph == "more_outputs":
                outputs["more"] = keras.layers.Identity(name="more")(scores)
            super().__init__(config, dtype, inputs=inputs, outputs=outputs, **kwargs)

    config = NextItemConfig(
        log.num_items, log.behaviors, dim=4, shared_negatives=graph == "few_inputs"
    )
    with pytest.raises(InputError, match=message):
        compile_model(Odd(config), TrainingConfig(), Hardware().resolved())
