"""What an exported model answers; every function here becomes a signature.

Every string tensor is `[batch, events]`, shorter histories padded with "" on either side. Events
whose item or behaviour is unknown are left out, as is padding, and counted in `unknown`. Of a model
that reads more than items and behaviours every signature has more inputs, which may be left out:
`users`, strings `[batch]`, where an unknown one is a stranger, and `times`, int64
`[batch, events]`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

from hmar_keras.models import SequentialRecommender
from hmar_keras.models.sequential_recommender import LOWEST_SCORE
from hmar_keras.schema import BEHAVIOR_IDS, ITEM_IDS, TIMESTAMPS, USER_IDS
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
# More inputs, by what the model reads: name, form, and what is taken where a request has none.
CONTEXT = {
    USER_IDS: ("users", tf.TensorSpec((None,), tf.string), tf.constant([""])),
    TIMESTAMPS: ("times", tf.TensorSpec((None, None), tf.int64), tf.constant([[0]], tf.int64)),
}
_LINE = (tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER)
_WORD = (tf.string, tf.lookup.TextFileIndex.WHOLE_LINE)
_PAIRS = "items and behaviors must be of the same shape"
_PER_ROW = "k and exclude_seen must be one for all histories, or one for each"


class ServingModel:
    """A model with its vocabulary: the functions behind the signatures.

    Args:
        model: the trained model.
        popularity: float [num_items + 1] by item id; what to recommend to a stranger.
        vocabulary: path of a file with one item a line, which becomes an asset.
        nearest: finds candidates for `recommend`, see `TwoStages`; None to score all items.
        users: path of a file with one user a line, for a model that reads `user_ids`.
    """

    def __init__(
        self,
        model: SequentialRecommender,
        popularity,
        vocabulary: Path,
        nearest: Nearest | None = None,
        users: Path | None = None,
    ):
        self._model = model
        self._names = model.config.behaviors.names
        self._context = [CONTEXT[name] for name in CONTEXT if name in model.features]
        self.item_lines = _table(vocabulary, _WORD, _LINE, -1)
        self.item_names = _table(vocabulary, _LINE, _WORD, "")
        self.user_lines = _table(users, _WORD, _LINE, -1) if users else None
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
            self._with_context(self._recommend),
            input_signature=[STRINGS, STRINGS, K, EXCLUDE_SEEN, *self._forms()],
        )

    def endpoint(self, function: Callable, given: Sequence) -> tuple[Callable, list]:
        """A function below as `ExportArchive.add_endpoint` takes it, and the forms of its inputs.

        Args:
            function: one of those below.
            given: the forms of the inputs that every model has.
        """
        return self._with_context(function), [*given, *self._forms()]

    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """All that is looked up."""
        tables = [self.item_lines, self.item_names, self.behavior_ids, self.user_lines]
        return [table for table in tables if table is not None]

    def _forms(self):
        return [form for _, form, _ in self._context]

    def _with_context(self, function):
        """The function with the further inputs of the model as arguments, by name and default."""
        if not self._context:
            return function
        known = inspect.signature(function).parameters.values()
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        more = [inspect.Parameter(name, kind, default=usual) for name, _, usual in self._context]
        signature = inspect.Signature(
            [*(each for each in known if each.kind != each.VAR_KEYWORD), *more]
        )

        def call(*arguments, **named):
            given = signature.bind(*arguments, **named)
            given.apply_defaults()
            return function(**given.arguments)

        call.__signature__ = signature  # which tf.function looks at
        return call

    def recommend(self, items, behaviors, k=_TEN, exclude_seen=_NO, **context):
        """The best k items of the catalogue, `[batch, largest k]`, and their scores."""
        return self._recommended(items, behaviors, k, exclude_seen, **context)

    def _recommend(self, items, behaviors, k, exclude_seen, **context):
        seen, behavior_ids, known = self._known(items, behaviors)
        history = self._history(seen, behavior_ids, known, context)
        hidden = tf.where(_column(exclude_seen, seen), seen, 0)
        k = tf.clip_by_value(_column(k, seen), 0, self._model.config.num_items)
        scores, ids = self._best(history, hidden, tf.reduce_max(k))
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
        each, may be left out; so may `users`, bytes, and `times`, int64, one per event, where the
        model reads them.
        """
        strings = tf.io.RaggedFeature(tf.string)
        features = {
            "items": strings,
            "behaviors": strings,
            "k": tf.io.FixedLenFeature((), tf.int64, 10),
            "exclude_seen": tf.io.FixedLenFeature((), tf.int64, 0),
        }
        more = {
            "users": tf.io.FixedLenFeature((), tf.string, ""),
            "times": tf.io.RaggedFeature(tf.int64),
        }
        named = [name for name, _, _ in self._context]
        features |= {name: more[name] for name in named}
        told = tf.io.parse_example(examples, features)
        lengths = [told[name].row_lengths() for name in ("items", "behaviors")]
        same = tf.debugging.assert_equal(*lengths, "items and behaviors must be equally many")
        with tf.control_dependencies([same]):
            items, behaviors = (told[name].to_tensor("") for name in ("items", "behaviors"))
        context = {name: told[name] for name in named}
        if "times" in context:
            # One that gives none has them all at once.
            counts = context["times"].row_lengths()
            each = tf.debugging.Assert(
                tf.reduce_all((counts == 0) | (counts == lengths[0])),
                ["times must be one an event"],
            )
            with tf.control_dependencies([each]):
                context["times"] = context["times"].to_tensor(0, shape=tf.shape(items))
        return self.recommend(
            items, behaviors, tf.cast(told["k"], tf.int32), told["exclude_seen"] != 0, **context
        )

    def rank(self, items, behaviors, candidates, **context):
        """Scores of the given candidates, and which of them are known."""
        history, known = self._read(items, behaviors, context)
        candidate_ids = self._item_ids(candidates)
        scores = self._model.score_candidates(history, candidate_ids)
        return {
            "scores": tf.where(candidate_ids > 0, scores, LOWEST_SCORE),
            "known": candidate_ids > 0,
            "unknown": _unknown(items, behaviors, known),
        }

    def behavior(self, items, behaviors, candidates, **context):
        """How likely the user does what to the given candidates."""
        history, known = self._read(items, behaviors, context)
        read = self._model.read(history)
        logits = self._model.behavior_logits(read, self._item_ids(candidates))
        names = tf.constant(self._names)
        return {
            "probabilities": tf.nn.softmax(logits),
            # A row a history, so that answers can be cut out of a batch.
            "names": tf.repeat(names[None], tf.shape(items)[0], axis=0),
            "unknown": _unknown(items, behaviors, known),
        }

    def explain(self, items, behaviors, **context):
        """What the model sees of each history, oldest first, and what it makes of it."""
        history, known = self._read(items, behaviors, context)
        names = tf.gather(tf.constant(["", *self._names]), history[BEHAVIOR_IDS])
        return {
            "items": self.item_names.lookup(tf.cast(history[ITEM_IDS], tf.int64) - 1),
            "behaviors": names,
            **explanation(self._model, history),
            "unknown": _unknown(items, behaviors, known),
        }

    def _item_ids(self, items):
        return tf.cast(self.item_lines.lookup(items) + 1, tf.int32)

    def _known(self, items, behaviors):
        """Item and behaviour ids, 0 if unknown, and which events are known."""
        tf.debugging.assert_equal(tf.shape(items), tf.shape(behaviors), _PAIRS)
        item_ids, behavior_ids = self._item_ids(items), self.behavior_ids.lookup(behaviors)
        return item_ids, behavior_ids, (item_ids > 0) & (behavior_ids > 0)

    def _read(self, items, behaviors, context):
        """What the model sees of histories, and which of the events are known."""
        item_ids, behavior_ids, known = self._known(items, behaviors)
        return self._history(item_ids, behavior_ids, known, context), known

    def _history(self, item_ids, behavior_ids, known, context):
        """What the model sees of the known events: moved to the right end, the most recent ones."""
        if self._model.config.input_behaviors == "target":
            known &= behavior_ids == self._model.config.behaviors.target_id
        order = tf.argsort(tf.cast(known, tf.int32), axis=1, stable=True)
        last = order[:, -self._model.config.max_length :]
        # A model needs one position, be it padding.
        short = tf.maximum(1 - tf.shape(last)[1], 0)
        seen = {ITEM_IDS: item_ids, BEHAVIOR_IDS: behavior_ids}
        if "times" in context:
            seen[TIMESTAMPS] = tf.broadcast_to(context["times"], tf.shape(item_ids))
        history = {
            name: tf.pad(
                tf.gather(tf.where(known, values, 0), last, batch_dims=1),
                [[0, 0], [short, 0]],
            )
            for name, values in seen.items()
        }
        if "times" in context:
            history[TIMESTAMPS] = _since_first(history[TIMESTAMPS], history[ITEM_IDS] > 0)
        if "users" in context:
            lines = self.user_lines.lookup(context["users"])
            rows = tf.shape(item_ids)[:1]
            history[USER_IDS] = tf.broadcast_to(tf.cast(lines + 1, tf.int32), rows)
        return history


def _table(file, key, value, default):
    """Looks up in a file's lines."""
    initializer = tf.lookup.TextFileInitializer(str(file), *key, *value)
    return tf.lookup.StaticHashTable(initializer, default_value=default)


def _since_first(times, real):
    """How long after the first event that is `real` each one was, float32 `[batch, length]`."""
    place = tf.argmax(tf.cast(real, tf.int32), axis=1)
    first = tf.gather(times, place, batch_dims=1)[:, None]
    return tf.cast(tf.where(real, times - first, 0), tf.float32)


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
