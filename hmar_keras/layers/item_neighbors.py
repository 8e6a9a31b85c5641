"""Scores of candidates by their similarity to the items of the history."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from hmar_keras.kernels import scores_shape, take_rows, values_of_behaviors
from hmar_keras.masks import causal_mask


@keras.saving.register_keras_serializable(package="hmar_keras")
class ItemNeighbors(keras.layers.Layer):
    """s(t, c) = sum over s <= t of g^b(s) w(i_s, c): a weighted nearest-neighbour score.

    w is the similarity of two items, kept for the `num_neighbors` most similar items of each item
    and 0 for all others. It is a statistic of the log and not learned: products of embeddings have
    too few columns to distinguish that many pairs. The scales g, one learnable scalar per
    behaviour, start at 1.

    The training users are among the users that w counts, so their next items look predictable. In
    training, each user's own share is therefore subtracted from the similarities of the positive.
    Then w is as reliable in training as it will be on events that it has not counted, and the rest
    of the model learns what w does not know.

    Not in the paper. A model with a memory of the log: H.-T. Cheng et al., "Wide & Deep Learning
    for Recommender Systems", DLRS 2016. Item-to-item scores: M. Deshpande and G. Karypis,
    "Item-Based Top-N Recommendation Algorithms", TOIS 2004.

    Args:
        num_items: size of the catalogue; ids run from 1 to `num_items`, 0 is padding.
        num_neighbors: N, the maximum number of neighbours per item.
        num_behaviors: number of behaviours K.

    Call arguments:
        item_ids: int `[batch, length]`, left-padded with 0.
        behavior_ids: int `[batch, length]`.
        candidate_ids: int `[batch, steps, candidates]`, for the last `steps` positions; in training
            candidate 0 is the positive.
        negative_ids: optional int `[batch, negatives]`: more candidates, the same for every step.
        training: subtract the user's own share from the score of the positive.

    Returns:
        float32 `[batch, steps, candidates + negatives]`.
    """

    def __init__(
        self, num_items: int, num_neighbors: int, num_behaviors: int, **kwargs: Any
    ) -> None:
        # float32 like all scores; half precision could not distinguish ids either.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_items = num_items
        self.num_neighbors = num_neighbors
        self.num_behaviors = num_behaviors

    def build(
        self,
        item_ids_shape,
        behavior_ids_shape=None,
        candidate_ids_shape=None,
        negative_ids_shape=None,
    ):
        """Creates the neighbours of every id, `[num_items + 1, N]`, none at first, and g, `[K]`."""
        shape = (self.num_items + 1, self.num_neighbors)
        fixed = {"initializer": "zeros", "trainable": False}
        # Unsigned, because TensorFlow keeps no other 32-bit integers on a GPU.
        self.neighbor_ids = self.add_weight(
            shape=shape, dtype="uint32", name="neighbor_ids", **fixed
        )
        self.similarities = self.add_weight(shape=shape, name="similarities", **fixed)
        self.user_shares = self.add_weight(shape=shape[:1], name="user_shares", **fixed)
        self.gain = self.add_weight(shape=(self.num_behaviors,), initializer="ones", name="gain")

    def assign_neighbors(self, neighbor_ids, similarities, user_shares) -> None:
        """Sets the neighbours of all items; the layer must be built.

        Args:
            neighbor_ids: int `[num_items + 1, N]`, in any order, 0 where an item has fewer than N.
            similarities: float `[num_items + 1, N]`, w with each neighbour.
            user_shares: float `[num_items + 1]`; each user who touched both i and j adds the
                product of the shares of i and j to w(i, j).
        """
        order = np.argsort(neighbor_ids, axis=1, kind="stable")  # for the binary search
        self.neighbor_ids.assign(np.take_along_axis(neighbor_ids, order, axis=1))
        self.similarities.assign(np.take_along_axis(similarities, order, axis=1))
        self.user_shares.assign(user_shares)

    def call(self, item_ids, behavior_ids, candidate_ids, negative_ids=None, training=False):
        """Scores the candidates."""
        batch, length = ops.shape(item_ids)
        steps, candidates = ops.shape(candidate_ids)[1:]
        gains = values_of_behaviors(ops.convert_to_tensor(self.gain), behavior_ids)[..., None]
        flat = ops.reshape(candidate_ids, (batch, steps * candidates))
        wanted = flat if negative_ids is None else ops.concatenate([flat, negative_ids], axis=1)
        similar = self._similar(item_ids, wanted)
        found = similar[:, :, : steps * candidates]
        found = ops.reshape(found, (batch, length, steps, candidates))
        if training:
            answers = candidate_ids[:, :, :1]
            own = self._own_share(item_ids, answers, found[..., :1])
            found = ops.concatenate([found[..., :1] - own, found[..., 1:]], axis=-1)
        # A step sees the events up to its own.
        seen = ops.cast(ops.transpose(causal_mask(length)[length - steps :]), "float32")
        scores = ops.sum((gains * seen)[..., None] * found, axis=1)
        if negative_ids is None:
            return scores
        sums = ops.cumsum(gains * similar[:, :, steps * candidates :], axis=1)
        return ops.concatenate([scores, sums[:, length - steps :]], axis=-1)

    def _own_share(self, item_ids, answers, found):
        """Returns what one user adds to the similarities found, `[batch, length, steps, 1]`."""
        shares = ops.convert_to_tensor(self.user_shares)
        of_items = ops.take(shares, item_ids, axis=0)[:, :, None, None]
        of_answers = ops.take(shares, answers, axis=0)[:, None]
        return ops.where(found > 0, of_items * of_answers, 0.0)

    def _similar(self, item_ids, candidate_ids):
        """Returns w of every item with every candidate of its row.

        Args:
            item_ids: int `[batch, length]`.
            candidate_ids: int `[batch, candidates]`.

        Returns:
            float32 `[batch, length, candidates]`.
        """
        ids = ops.reshape(self._neighbors(item_ids), (-1,))
        similarities = ops.reshape(take_rows(self.similarities.value, item_ids), (-1,))
        batch, length = ops.shape(item_ids)
        starts = ops.reshape(ops.arange(batch * length) * self.num_neighbors, (batch, length, 1))
        wanted = candidate_ids[:, None]
        # Ids ascend, so a binary search finds, from the highest bit on, how many are lower.
        below = ops.zeros((), "int32")
        for bit in reversed(range((self.num_neighbors - 1).bit_length())):
            more = below + 2**bit
            last = starts + ops.minimum(more, self.num_neighbors) - 1
            fits = ops.logical_and(more < self.num_neighbors, ops.take(ids, last) < wanted)
            below = ops.where(fits, more, below)
        return ops.where(
            ops.equal(ops.take(ids, starts + below), wanted),
            ops.take(similarities, starts + below),
            0.0,
        )

    def _neighbors(self, item_ids):
        """Returns the neighbours of every item, int32 `[batch, length, N]`."""
        return ops.cast(take_rows(self.neighbor_ids.value, item_ids), "int32")

    def catalog_gains(self, item_ids, behavior_ids):
        """Returns what every event adds to the scores of its item's neighbours.

        Args:
            item_ids: int `[batch, length]`.
            behavior_ids: int `[batch, length]`.

        Returns:
            `(neighbor_ids, gains)`: int32 and float32 `[batch, length * N]`. An item that occurs
            several times gets the sum; 0 gets nothing.
        """
        gains = values_of_behaviors(ops.convert_to_tensor(self.gain), behavior_ids)[..., None]
        neighbors = self._neighbors(item_ids)
        gains = gains * take_rows(self.similarities.value, item_ids)
        batch, length = ops.shape(item_ids)
        shape = (batch, length * self.num_neighbors)
        return ops.reshape(neighbors, shape), ops.reshape(gains, shape)

    def compute_output_shape(
        self, item_ids_shape, behavior_ids_shape, candidate_ids_shape, negative_ids_shape=None
    ):
        """Returns `[batch, steps, candidates + negatives]`."""
        return scores_shape(candidate_ids_shape, negative_ids_shape)

    def compute_output_spec(
        self, item_ids, behavior_ids, candidate_ids, negative_ids=None, training=False
    ):
        """Returns float32 `[batch, steps, candidates + negatives]`."""
        shapes = [x.shape for x in (item_ids, behavior_ids, candidate_ids)]
        shapes.append(None if negative_ids is None else negative_ids.shape)
        return keras.KerasTensor(self.compute_output_shape(*shapes), "float32")

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_items": self.num_items,
            "num_neighbors": self.num_neighbors,
            "num_behaviors": self.num_behaviors,
        }
