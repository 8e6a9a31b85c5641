"""TensorFlow Recommenders' factorised top-k layers as the first of two stages.

The only module that imports TensorFlow Recommenders, which is written for Keras 2. That takes a few
seconds and loads Keras 2 next to Keras 3, so this module is imported only where a layer is needed.
"""

from __future__ import annotations

import os

import tensorflow as tf

from hmar_keras.layers import ItemTable
from pipelines.export.best_items import Nearest
from pipelines.runtime.errors import InputError
from pipelines.runtime.retrievals import BRUTE_FORCE

_STREAMED_ITEMS = 16_384  # per product


def _imported():
    """Returns `tensorflow_recommenders.layers.factorized_top_k`.

    Raises:
        InputError: if it does not load.
    """
    # `tf.keras` becomes Keras 2 or Keras 3 on first access.
    before = os.environ.get("TF_USE_LEGACY_KERAS")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    try:
        from tensorflow_recommenders.layers import factorized_top_k
    except (ImportError, tf.errors.OpError) as error:
        # TensorFlow Recommenders imports ScaNN if it is installed.
        raise InputError(
            f"TensorFlow Recommenders does not load with TensorFlow {tf.__version__} "
            f"({_first_line(error)}); export with --retrieval product, or uninstall scann if it "
            "is for another TensorFlow."
        ) from error
    finally:
        if before is None:
            del os.environ["TF_USE_LEGACY_KERAS"]
        else:
            os.environ["TF_USE_LEGACY_KERAS"] = before
    return factorized_top_k


def _first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0]


factorized_top_k = _imported()


class TableBruteForce(factorized_top_k.BruteForce):
    """Brute force over an item table, without the copy that TensorFlow Recommenders' own makes.

    Attributes:
        bias: float32 `[rows]`, added to every score; None for none.
    """

    bias = None

    def index(self, candidates, identifiers=None):
        """Uses an item table in place of an index.

        Args:
            candidates: an `ItemTable`.
            identifiers: int32 `[rows]`, ids of its items.
        """
        self._candidates = candidates
        self._identifiers = identifiers
        return self

    def _compute_score(self, queries, candidates):
        scores = candidates.dot_all_items(queries)
        return scores if self.bias is None else scores + self.bias


def nearest_items(name: str, table: ItemTable) -> Nearest:
    """Returns the first stage of a retrieval.

    Args:
        name: `BRUTE_FORCE` or `STREAMING`.
        table: the item table.

    Returns:
        a function to be traced; it must be kept as long as its trace.
    """
    return _brute_force(table) if name == BRUTE_FORCE else _streaming(table)


def _brute_force(table):
    layer = TableBruteForce()

    def nearest(vectors, k, bias):
        layer.bias = _for_all_rows(bias, table)
        # Made in the graph, so that the file stores no list of ids.
        layer.index(table, tf.range(table.input_dim))
        return layer(vectors, k=tf.minimum(k, table.input_dim))

    return nearest


def _streaming(table):
    layer = factorized_top_k.Streaming()

    def nearest(vectors, k, bias):
        bias = _for_all_rows(bias, table)

        def block(start):
            ids = tf.range(start, tf.minimum(start + _STREAMED_ITEMS, table.input_dim))
            if bias is None:
                return ids, table(ids)
            return ids, tf.concat([table(ids), tf.gather(bias, ids)[:, None]], axis=1)

        # Made in the graph, where it reads the table instead of copying it.
        starts = tf.data.Dataset.range(1, table.input_dim, _STREAMED_ITEMS, output_type=tf.int32)
        layer.index_from_dataset(starts.map(block))
        if bias is not None:
            vectors = tf.pad(vectors, [[0, 0], [0, 1]], constant_values=1.0)
        return layer(vectors, k=k)

    return nearest


def _for_all_rows(bias, table):
    """Pads a bias `[num_items + 1]` with 0 for rows of the table that belong to no item."""
    return None if bias is None else tf.pad(bias, [[0, table.input_dim - tf.shape(bias)[0]]])
