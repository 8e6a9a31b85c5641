"""Finds the best items of the catalogue for each history, in one stage or in two.

Both give the same answer: the best first, and the lower id first among equal scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from hmar_keras.models import SequentialRecommender
from hmar_keras.models.sequential_recommender import LOWEST_SCORE
from hmar_keras.schema import ITEM_IDS

# Maps vectors `[batch, dim]`, a number k and a bias `[num_items + 1]`, all tensors, to the k items
# of the greatest products with the vectors plus bias: scores and ids `[batch, k]`, the best first.
# The bias may be None. There are fewer items if the catalogue is smaller, and the padding id 0 may
# be among them.
Nearest = Callable[[tf.Tensor, tf.Tensor, tf.Tensor | None], tuple[tf.Tensor, tf.Tensor]]


class OneProduct:
    """Scores the whole catalogue, then takes the best.

    Args:
        model: the trained model.
        popularity: float32 variable `[num_items + 1]` by item id, `LOWEST_SCORE` for padding; the
            scores of a history without events.

    Call arguments:
        features: by name, what the model reads of the histories, including `item_ids`.
        hidden: int32 `[batch, events]`, ids of items to leave out, and any number of 0.
        k: int32 scalar, at most the number of items.

    Returns:
        `(scores, item_ids)`, float32 and int32 `[batch, k]`, the best first; `LOWEST_SCORE` where
        there is no item left.
    """

    def __init__(self, model: SequentialRecommender, popularity: tf.Variable):
        self._model = model
        self._popularity = popularity

    def __call__(self, features: Mapping[str, tf.Tensor], hidden, k):
        """Returns scores and item ids, `[batch, k]`, the best first."""
        scores = self._model.score_catalog(features)
        scores = tf.where(_is_stranger(features[ITEM_IDS]), self._popularity[None], scores)
        return tf.math.top_k(_hide(scores, hidden), k)


class TwoStages:
    """Takes the items with the best products with the item table, then adds the bonuses.

    An item's score is a product with its embedding plus a bias and, for some items such as those in
    the history, a bonus (`Query.gains` and `Query.memory`). So the best k are among the items with
    a bonus and the best products, of which the first stage must find as many more as can have a
    bonus or be hidden. With an exact first stage the answer is that of `OneProduct`.

    Args:
        model: the trained model, with a `query`.
        popularity: see `OneProduct`.
        nearest: the first stage.

    Call arguments and returns:
        see `OneProduct`.
    """

    def __init__(self, model: SequentialRecommender, popularity: tf.Variable, nearest: Nearest):
        self._model = model
        self._popularity = popularity
        self._nearest = nearest

    def __call__(self, features: Mapping[str, tf.Tensor], hidden, k):
        """Returns scores and item ids, `[batch, k]`, the best first."""
        item_ids, query = features[ITEM_IDS], self._model.query(self._model.question(features))
        vectors, offsets = query.vectors, query.offsets
        gaining, gained = _gained(item_ids, query.gains, query.memory)
        bias = None if query.memory is None else query.memory.bias
        # The padding id 0 is always hidden.
        hidden = tf.pad(hidden, [[0, 0], [1, 0]])
        # A table may have rows that belong to no item.
        count = self._model.config.num_items
        others = self._model.item_table.input_dim - count
        spare = _most(gaining > 0) + _most(hidden > 0) + others
        scores, ids = self._nearest(vectors, k + spare, bias)
        scores, ids = tf.where(ids > count, LOWEST_SCORE, scores), tf.where(ids > count, 0, ids)
        corrected = self._model.item_table.dot(vectors[:, None], gaining[:, None])[:, 0] + gained
        if offsets is not None:
            scores, corrected = scores + offsets, corrected + offsets
        if query.memory is not None:
            alone = tf.gather(query.memory.scores, gaining, batch_dims=1)
            corrected = tf.where(_contains(query.memory.touched_ids, gaining), alone, corrected)
        scores, ids = self._popular(_is_stranger(item_ids), scores, ids)
        scores = tf.where(_contains(tf.concat([hidden, gaining], 1), ids), LOWEST_SCORE, scores)
        corrected = tf.where(_contains(hidden, gaining), LOWEST_SCORE, corrected)
        return _best(tf.concat([scores, corrected], 1), tf.concat([ids, gaining], 1), k)

    def _popular(self, strangers, scores, ids):
        """Returns what is found, but popular items where `strangers`, `[batch, 1]`, is true."""

        def replaced():
            popular = tf.math.top_k(self._popularity, tf.shape(ids)[1])
            return (
                tf.where(strangers, popular.values, scores),
                tf.where(strangers, popular.indices, ids),
            )

        return tf.cond(tf.reduce_any(strangers), replaced, lambda: (scores, ids))


def _is_stranger(item_ids):
    return tf.reduce_all(item_ids == 0, axis=1, keepdims=True)


def _hide(scores, ids):
    """Returns scores `[batch, num_items + 1]`, the lowest one for the ids `[batch, events]`."""
    rows = tf.broadcast_to(tf.range(tf.shape(ids)[0])[:, None], tf.shape(ids))
    lowest = tf.fill(tf.shape(ids), LOWEST_SCORE)
    return tf.tensor_scatter_nd_min(scores, tf.stack([rows, ids], axis=-1), lowest)


def _gained(item_ids, gains, memory):
    """Returns every item with a bonus once, otherwise 0, and what is added to its product.

    Args:
        item_ids: int32 `[batch, events]`.
        gains: as in `Query`.
        memory: as in `Query`.

    Returns:
        int32 and float32 `[batch, n]`.
    """
    ids, gains = gains or (item_ids[:, :0], tf.zeros_like(item_ids[:, :0], tf.float32))
    if memory is not None:
        ids = tf.concat([ids, memory.item_ids], axis=1)
        gains = tf.pad(gains, [[0, 0], [0, tf.shape(memory.item_ids)[1]]])
    order = tf.argsort(ids, axis=1, stable=True)
    ids, gains = (tf.gather(values, order, batch_dims=1) for values in (ids, gains))
    is_first = ids != tf.pad(ids[:, :-1], [[0, 0], [1, 0]], constant_values=-1)
    # Numbers the items of the whole batch.
    places = tf.reshape(tf.cumsum(tf.cast(tf.reshape(is_first, [-1]), tf.int32)) - 1, tf.shape(ids))
    sums = tf.math.unsorted_segment_sum(gains, places, tf.size(ids))
    ids, sums = tf.where(is_first, ids, 0), tf.gather(sums, places)
    if memory is not None:
        sums += tf.gather(memory.scores, ids, batch_dims=1)
    return ids, sums


def _most(is_true):
    """Returns the largest number of true elements in a row of `[batch, n]`."""
    return tf.reduce_max(tf.reduce_sum(tf.cast(is_true, tf.int32), axis=1))


def _contains(sets, ids):
    """Returns which ids `[batch, n]` are in their row of `sets`, `[batch, one or more]`."""
    ordered = tf.sort(sets, axis=1)
    places = tf.minimum(tf.searchsorted(ordered, ids), tf.shape(sets)[1] - 1)
    return tf.gather(ordered, places, batch_dims=1) == ids


def _best(scores, ids, k):
    """Returns the k best of `[batch, n]`; the sort makes `top_k` prefer lower ids among equals."""
    # An approximate first stage may find fewer than requested.
    missing = [[0, 0], [0, tf.maximum(k - tf.shape(ids)[1], 0)]]
    scores = tf.pad(scores, missing, constant_values=LOWEST_SCORE)
    ids = tf.pad(ids, missing)
    order = tf.argsort(ids, axis=1, stable=True)
    best = tf.math.top_k(tf.gather(scores, order, batch_dims=1), k)
    ids = tf.gather(ids, order, batch_dims=1)
    return best.values, tf.gather(ids, best.indices, batch_dims=1)
