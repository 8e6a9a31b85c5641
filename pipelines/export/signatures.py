"""What an exported model answers; every function here becomes a signature.

Every string tensor is `[batch, events]`, shorter histories padded with "" on either side. Events
whose item or behaviour is unknown are left out, as is padding, and counted in `unknown`.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from hmar_keras.models import SequentialRecommender
from hmar_keras.models.sequential_recommender import LOWEST_SCORE
from pipelines.export.best_items import Nearest, OneProduct, TwoStages
from pipelines.export.explanation import explanation

STRINGS = tf.TensorSpec((None, None), tf.string)
# For all rows alike or each its own: a scalar or `[batch]`. TensorFlow Serving joins requests to
# batches only where every input has a row for each, and its JSON rows give one.
K = tf.TensorSpec(None, tf.int32)
EXCLUDE_SEEN = tf.TensorSpec(None, tf.bool)
EXAMPLES = tf.TensorSpec((None,), tf.string)
# Tensors, because only tensor defaults are stored with a signature; of one row, so that
# a request of one row can be joined to a batch without giving them.
_TEN, _NO = tf.constant([10]), tf.constant([False])
_PAIRS = "items and behaviors must be of the same shape"
_PER_ROW = "k and exclude_seen must be one for all histories, or one for each"


class ServingModel:
    """A model with its vocabulary: the functions behind the signatures.

    Args:
        model: the trained model.
        popularity: float [num_items + 1] by item id; what to recommend to a stranger.
        vocabulary: path of a file with one item a line, which becomes an asset.
        nearest: finds candidates for `recommend`, see `TwoStages`; None to score all items.
    """

    def __init__(
        self,
        model: SequentialRecommender,
        popularity,
        vocabulary: Path,
        nearest: Nearest | None = None,
    ):
        self._model = model
        self._names = model.config.behaviors.names
        file = tf.lookup.TextFileIndex
        line = (tf.int64, file.LINE_NUMBER)
        word = (tf.string, file.WHOLE_LINE)
        self.item_lines = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(str(vocabulary), *word, *line), default_value=-1
        )
        self.item_names = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(str(vocabulary), *line, *word), default_value=""
        )
        self.behavior_ids = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                list(self._names), tf.range(1, len(self._names) + 1)
            ),
            default_value=0,
        )
        self.popularity = tf.Variable(popularity, dtype=tf.float32, trainable=False)
        self._best = (
            TwoStages(model, self.popularity, nearest)
            if nearest
            else OneProduct(model, self.popularity)
        )
        # Three signatures call it, whose graph stands in the file once.
        self._recommended = tf.function(
            self._recommend, input_signature=[STRINGS, STRINGS, K, EXCLUDE_SEEN]
        )

    def recommend(self, items, behaviors, k=_TEN, exclude_seen=_NO):
        """The best k items of the catalogue, `[batch, largest k]`, and their scores."""
        return self._recommended(items, behaviors, k, exclude_seen)

    def _recommend(self, items, behaviors, k, exclude_seen):
        seen, behavior_ids, known = self._known(items, behaviors)
        history = self._history(seen, behavior_ids, known)
        hidden = tf.where(_column(exclude_seen, seen), seen, 0)
        k = tf.clip_by_value(_column(k, seen), 0, self._model.config.num_items)
        scores, ids = self._best(*history, hidden, tf.reduce_max(k))
        names = self.item_names.lookup(tf.cast(ids, tf.int64) - 1)
        asked = tf.range(tf.shape(scores)[1])[None] < k
        told = asked & (scores > LOWEST_SCORE)
        return {
            "items": tf.where(told, names, ""),
            "scores": tf.where(told, scores, LOWEST_SCORE),
            "unknown": _unknown(items, behaviors, known),
        }

    def examples(self, examples):
        """As `recommend`, asked by serialised `tf.train.Example`s, one a history.

        Features: `items` and `behaviors`, bytes, equally many; `k` and `exclude_seen`, an int64
        each, may be left out.
        """
        strings = tf.io.RaggedFeature(tf.string)
        features = {
            "items": strings,
            "behaviors": strings,
            "k": tf.io.FixedLenFeature((), tf.int64, 10),
            "exclude_seen": tf.io.FixedLenFeature((), tf.int64, 0),
        }
        told = tf.io.parse_example(examples, features)
        lengths = [told[name].row_lengths() for name in ("items", "behaviors")]
        same = tf.debugging.assert_equal(*lengths, "items and behaviors must be equally many")
        with tf.control_dependencies([same]):
            items, behaviors = (told[name].to_tensor("") for name in ("items", "behaviors"))
        return self.recommend(
            items, behaviors, tf.cast(told["k"], tf.int32), told["exclude_seen"] != 0
        )

    def rank(self, items, behaviors, candidates):
        """Scores of the given candidates, and which of them are known."""
        item_ids, behavior_ids, known = self._known(items, behaviors)
        history = self._history(item_ids, behavior_ids, known)
        candidate_ids = self._item_ids(candidates)
        scores = self._model.score_candidates(*history, candidate_ids)
        return {
            "scores": tf.where(candidate_ids > 0, scores, LOWEST_SCORE),
            "known": candidate_ids > 0,
            "unknown": _unknown(items, behaviors, known),
        }

    def behavior(self, items, behaviors, candidates):
        """How likely the user does what to the given candidates."""
        item_ids, behavior_ids, known = self._known(items, behaviors)
        history = self._history(item_ids, behavior_ids, known)
        logits = self._model.behavior_logits(*history, self._item_ids(candidates))
        names = tf.constant(self._names)
        return {
            "probabilities": tf.nn.softmax(logits),
            # A row a history, so that answers can be cut out of a batch.
            "names": tf.repeat(names[None], tf.shape(items)[0], axis=0),
            "unknown": _unknown(items, behaviors, known),
        }

    def explain(self, items, behaviors):
        """What the model sees of each history, oldest first, and what it makes of it."""
        item_ids, behavior_ids, known = self._known(items, behaviors)
        item_ids, behavior_ids = self._history(item_ids, behavior_ids, known)
        names = tf.gather(tf.constant(["", *self._names]), behavior_ids)
        return {
            "items": self.item_names.lookup(tf.cast(item_ids, tf.int64) - 1),
            "behaviors": names,
            **explanation(self._model, item_ids, behavior_ids),
            "unknown": _unknown(items, behaviors, known),
        }

    def _item_ids(self, items):
        return tf.cast(self.item_lines.lookup(items) + 1, tf.int32)

    def _known(self, items, behaviors):
        """Item and behaviour ids, 0 if unknown, and which events are known."""
        tf.debugging.assert_equal(tf.shape(items), tf.shape(behaviors), _PAIRS)
        item_ids, behavior_ids = self._item_ids(items), self.behavior_ids.lookup(behaviors)
        return item_ids, behavior_ids, (item_ids > 0) & (behavior_ids > 0)

    def _history(self, item_ids, behavior_ids, known):
        """What the model sees of the known events: moved to the right end, the most recent ones."""
        if self._model.config.events == "target":
            known &= behavior_ids == self._model.config.behaviors.target_id
        order = tf.argsort(tf.cast(known, tf.int32), axis=1, stable=True)
        last = order[:, -self._model.config.max_length :]
        # A model needs one position, be it padding.
        short = tf.maximum(1 - tf.shape(last)[1], 0)
        return tuple(
            tf.pad(
                tf.gather(tf.where(known, ids, 0), last, batch_dims=1),
                [[0, 0], [short, 0]],
            )
            for ids in (item_ids, behavior_ids)
        )


def _column(values, rows):
    """A scalar or `[batch]` as `[batch, 1]`, or `[1, 1]` for all of `rows` `[batch, events]`."""
    values = tf.reshape(values, [-1])
    count = tf.shape(values)[0]
    fits = tf.debugging.Assert((count == 1) | (count == tf.shape(rows)[0]), [_PER_ROW])
    with tf.control_dependencies([fits]):
        return values[:, None]


def _unknown(items, behaviors, known):
    """How many events of each history were left out, int32 `[batch]`; padding is none."""
    given = (items != "") | (behaviors != "")
    return tf.reduce_sum(tf.cast(given & ~known, tf.int32), axis=1)
