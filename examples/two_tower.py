"""Two towers: HMAR encodes users, a table encodes items, and their product finds the next item.

HMAR's backbone is the query tower of a TensorFlow Recommenders model: the `Retrieval` task trains
it, `FactorizedTopK` evaluates it, and a `BruteForce` index answers, in a separate SavedModel.

    python examples/two_tower.py
"""

import os
import tempfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # TensorFlow Recommenders needs Keras 2 for `tf.keras`

import keras
import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from hmar_keras import HMAR, HMARBackbone, HMARConfig, TrainingConfig
from hmar_keras.kernels import portable_kernels
from hmar_keras.layers import ItemTable
from hmar_keras.optimizers import LazyAdam
from pipelines.datasets import load_dataset
from pipelines.evaluation.baselines import Popularity
from pipelines.evaluation.evaluator import Evaluator
from pipelines.protocol.questions import history_features
from pipelines.protocol.splits import split
from pipelines.training.host_batches import TrainingData

# %% The data
# HMAR's own batches: 16 windows of up to 50 events. Every event is followed by another one, so each
# batch has hundreds of pairs of a user, as known at that time, and the next item.
dataset = load_dataset("synthetic_shop/small")
splits = split(dataset)
config = HMARConfig(dataset.num_items, dataset.behaviors, dim=32, max_length=50)
training = TrainingConfig(batch_size=16, epochs=6, learning_rate=0.005)
data = TrainingData(splits, HMAR(config), training, seed=0)

# %% The towers
# The state at a position is the user's vector after that event. An item's vector is the same for
# everybody: only the user's side knows earlier behaviours on it, which is the price of retrieval
# (HMAR itself, by `hmar run`, has HR@10 0.53 here). Text or images would enter the item tower.
keras.utils.set_random_seed(0)  # here, because preparing data may draw random numbers
query_tower = HMARBackbone(config)
item_tower = ItemTable(dataset.num_items + 1, config.dim)
item_tower.build()
variables = query_tower.trainable_variables + item_tower.trainable_variables

# %% Training
# The items of a batch are each other's negatives, with three corrections. Popular items are in more
# batches, so the logits are corrected for their share of all events (otherwise, HR@10 below is
# 0.22). No item is its own negative (`remove_accidental_hits`), and the other items in a user's
# window are not negatives of that user (`score_mask`).
trained_items = dataset.item_ids[splits.training_events()]
shares = tf.constant(np.bincount(trained_items) / len(trained_items), tf.float32)
weights_by_behavior = tf.constant([0.0, *config.alpha_by_id])  # purchases count 0.7, others 0.1
task = tfrs.tasks.Retrieval(remove_accidental_hits=True)
optimizer = LazyAdam(training.learning_rate)


@tf.function(reduce_retracing=True)
def train_step(inputs, targets):
    """Updates the weights and returns the mean loss of the pairs."""
    history = {name: inputs[name] for name in ("item_ids", "behavior_ids")}
    is_pair = targets["ranking"] > 0  # the next behaviour; 0 where nothing comes next
    next_ids = inputs["candidate_ids"][:, :, 0][is_pair]
    weights = tf.gather(weights_by_behavior, targets["ranking"][is_pair])
    window = tf.where(is_pair)[:, 0]
    with tf.GradientTape() as tape:
        loss = task(
            query_tower(history, training=True)[is_pair],
            item_tower(next_ids),
            sample_weight=weights,
            candidate_sampling_probability=tf.gather(shares, next_ids),
            candidate_ids=next_ids,
            compute_metrics=False,
            score_mask=(window[:, None] != window) | tf.eye(tf.size(window), dtype=tf.bool),
        ) / tf.reduce_sum(weights)
    optimizer.apply(tape.gradient(loss, variables), variables)
    return loss


for epoch in range(training.epochs):
    losses = [train_step(*batch) for batch in data.dataset(epoch, epoch + 1)]
    print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")

# %% Evaluation over the whole catalogue
# The last state of a history is the query; the index has a vector and a name for every item.
test = splits.test
histories = history_features(dataset, test, config.max_length)
queries = query_tower(histories)[:, -1]
vectors = item_tower(tf.range(dataset.num_items + 1))
index = tfrs.layers.factorized_top_k.BruteForce()
index.index(vectors[1:], tf.constant(dataset.items))  # item 0 is padding
metric = tfrs.metrics.FactorizedTopK(index, ks=(10,))
answers = tf.constant(dataset.items[test.positives - 1])
metric.update_state(queries, tf.gather(vectors, test.positives), answers)
hit_rate = float(metric.result()[0])
popularity = Evaluator(dataset, test, seed=0)(Popularity(splits))["full"]["hr@10"]
assert hit_rate > 3 * popularity


# %% A SavedModel that takes names and answers with names
def numbers(names):
    """Returns a table from names to ids, 0 for unknown ones."""
    ids = tf.range(1, len(names) + 1)
    pairs = tf.lookup.KeyValueTensorInitializer(tf.constant(names), ids)
    return tf.lookup.StaticHashTable(pairs, default_value=0)


item_numbers, behavior_numbers = numbers(dataset.items), numbers(dataset.behaviors.names)


def recommend(items, behaviors, k):
    """Returns the best k items after each history, oldest event first and padded with ""."""
    ids = tf.stack([item_numbers.lookup(items), behavior_numbers.lookup(behaviors)])
    known = tf.reduce_all(ids > 0, axis=0)
    # Unknown events move to the left, as padding. If there are no others, all scores are 0.
    newest = tf.argsort(tf.cast(known, tf.int32), stable=True)[:, -config.max_length :]
    ids = [tf.gather(tf.where(known, part, 0), newest, batch_dims=1) for part in tf.unstack(ids)]
    states = query_tower({"item_ids": ids[0], "behavior_ids": ids[1]}, training=False)
    scores, best = index(states[:, -1], k=k)
    return {"items": best, "scores": scores}


archive = keras.export.ExportArchive()
archive.track(item_numbers)
archive.track(behavior_numbers)
history = [tf.TensorSpec((None, None), tf.string, name) for name in ("items", "behaviors")]
with portable_kernels():  # so that it can be served on a GPU
    archive.add_endpoint("serving_default", recommend, [*history, tf.TensorSpec((), tf.int32, "k")])

with tempfile.TemporaryDirectory() as folder:
    archive.write_out(folder, verbose=False)
    answer = tf.saved_model.load(folder).signatures["serving_default"](
        items=tf.gather(["", *dataset.items], histories["item_ids"]),
        behaviors=tf.gather(["", *dataset.behaviors.names], histories["behavior_ids"]),
        k=tf.constant(10),
    )
    stored = tf.train.load_checkpoint(f"{folder}/variables/variables")

# Same answers as by hand, and each weight is stored once, the item tower's in the index.
best, places = tf.math.top_k(tf.matmul(queries, vectors[1:], transpose_b=True), 10)
np.testing.assert_allclose(answer["scores"], best, rtol=1e-4, atol=1e-4)
assert np.mean(answer["items"] == tf.gather(dataset.items, places)) > 0.999  # except for ties
types, shapes = stored.get_variable_to_dtype_map(), stored.get_variable_to_shape_map()
weights = sum(np.prod(shapes[name]) for name in shapes if types[name].is_floating)
assert weights == query_tower.count_params() + dataset.num_items * config.dim

print(f"HR@10 over the whole catalogue {hit_rate:.4f}, popularity {popularity:.4f}")
