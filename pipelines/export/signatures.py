"""The signatures of an exported model: one per public function of `ServingModel`.

Items and behaviours are strings `[batch, events]`, shorter histories padded with "" on either side.
Events whose item or behaviour is unknown are ignored, as is padding, and counted in `unknown`. If a
model reads more than items and behaviours, every signature has more inputs, which may be omitted:
`users`, strings `[batch]`, where any unknown name means an unknown user, and `times`, int64
`[batch, events]`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import tensorflow as tf

from hmar_keras.models import SequentialRecommender
from hmar_keras.models.sequential_recommender import LOWEST_SCORE
from hmar_keras.schema import BEHAVIOR_IDS, ITEM_IDS, TIMESTAMPS, USER_IDS
from pipelines.export.best_items import Nearest, OneProduct, TwoStages
from pipelines.export.explanation import explanation, reason_outputs

STRINGS = tf.TensorSpec((None, None), tf.string)
# One value for all rows or one per row: a scalar or `[batch]`. TensorFlow Serving batches requests
# only if every input has one row per history, as in the row form of its JSON.
K = tf.TensorSpec(None, tf.int32)
EXCLUDE_SEEN = tf.TensorSpec(None, tf.bool)
EXAMPLES = tf.TensorSpec((None,), tf.string)
# Tensors, because only tensor defaults are stored with a signature; of one row, so that
# a request of one row can be batched without giving them.
_TEN, _NO = tf.constant([10]), tf.constant([False])
# More inputs, by the feature that the model reads: name, spec and default.
CONTEXT = {
    USER_IDS: ("users", tf.TensorSpec((None,), tf.string), tf.constant([""])),
    TIMESTAMPS: ("times", tf.TensorSpec((None, None), tf.int64), tf.constant([[0]], tf.int64)),
}
_LINE = (tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER)
_WORD = (tf.string, tf.lookup.TextFileIndex.WHOLE_LINE)
LEAVES_OUT = "leaves_out"  # name of a variable
_PAIRS = "items and behaviors must have the same shape"
_PER_ROW = "k and exclude_seen must have one value for all histories, or one for each"


class ServingModel:
    """A model with its vocabulary: the functions behind the signatures.

    Args:
        model: the trained model.
        popularity: float [num_items + 1] by item id, the scores of a history without known events.
        vocabulary: path of a file with one item per line, which becomes an asset.
        nearest: finds candidates for `recommend`, see `TwoStages`; None to score all items.
        users: path of a file with one user per line, for a model that reads `user_ids`.
        leaves_out: behaviours. `recommend` leaves out items whose strongest behaviour in the
            history, the last in the model's order, is one of them.
    """

    def __init__(
        self,
        model: SequentialRecommender,
        popularity,
        vocabulary: Path,
        nearest: Nearest | None = None,
        users: Path | None = None,
        leaves_out: Collection[str] = (),
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
        # A variable, so that `ExportedScorer` can ask the same graph for all items.
        self._leaves_out = None
        if leaves_out:
            left_out = [False, *(name in leaves_out for name in self._names)]
            self._leaves_out = tf.Variable(left_out, trainable=False, name=LEAVES_OUT)
        self._best = (
            TwoStages(model, self.popularity, nearest)
            if nearest
            else OneProduct(model, self.popularity)
        )
        # Called by three signatures, so that its graph is stored once.
        self._recommended = tf.function(
            self._with_context(self._recommend),
            input_signature=[STRINGS, STRINGS, K, EXCLUDE_SEEN, *self._forms()],
        )

    def endpoint(self, function: Callable, given: Sequence) -> tuple[Callable, list]:
        """Returns a function for `ExportArchive.add_endpoint`, and the specs of its inputs.

        Args:
            function: one of those below.
            given: the specs of the inputs that every model has.
        """
        return self._with_context(function), [*given, *self._forms()]

    def tables(self) -> list[tf.lookup.StaticHashTable]:
        """Returns all lookup tables."""
        tables = [self.item_lines, self.item_names, self.behavior_ids, self.user_lines]
        return [table for table in tables if table is not None]

    def _forms(self):
        return [form for _, form, _ in self._context]

    def _with_context(self, function):
        """Returns the function with the model's further inputs as arguments with defaults."""
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

        call.__signature__ = signature  # which tf.function reads
        return call

    def recommend(self, items, behaviors, k=_TEN, exclude_seen=_NO, **context):
        """Returns the best k items of the catalogue, `[batch, largest k]`, and their scores."""
        return self._recommended(items, behaviors, k, exclude_seen, **context)

    def _recommend(self, items, behaviors, k, exclude_seen, **context):
        seen, behavior_ids, known = self._known(items, behaviors)
        history = self._history(seen, behavior_ids, known, context)
        hidden = tf.where(_column(exclude_seen, seen), seen, self._left_out(seen, behavior_ids))
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

    def _left_out(self, item_ids, behavior_ids):
        """Returns the items to leave out of any answer, int32 like `item_ids`, and otherwise 0."""
        if self._leaves_out is None:
            return tf.zeros_like(item_ids)
        # Sorted by item, then by behaviour, an item's last event has its strongest behaviour.
        size = len(self._names) + 1
        pairs = tf.cast(item_ids, tf.int64) * size + tf.cast(behavior_ids, tf.int64)
        pairs = tf.sort(pairs, axis=1)
        items = tf.cast(pairs // size, tf.int32)
        is_last = items != tf.pad(items, [[0, 0], [0, 1]], constant_values=-1)[:, 1:]
        return tf.where(is_last & tf.gather(self._leaves_out, pairs % size), items, 0)

    def examples(self, examples):
        """Recommends items after serialised `tf.train.Example`s, one per history.

        Features: `items` and `behaviors`, bytes, one per event; `k` and `exclude_seen`, one int64
        each, may be omitted; so may `users`, one bytes value, and `times`, int64, one per event, if
        the model reads them.
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
        same = tf.debugging.assert_equal(*lengths, "items and behaviors must be equal in number")
        with tf.control_dependencies([same]):
            items, behaviors = (told[name].to_tensor("") for name in ("items", "behaviors"))
        context = {name: told[name] for name in named}
        if "times" in context:
            # Without times, all events happen at once.
            counts = context["times"].row_lengths()
            each = tf.debugging.Assert(
                tf.reduce_all((counts == 0) | (counts == lengths[0])),
                ["times must be one per event"],
            )
            with tf.control_dependencies([each]):
                context["times"] = context["times"].to_tensor(0, shape=tf.shape(items))
        return self.recommend(
            items, behaviors, tf.cast(told["k"], tf.int32), told["exclude_seen"] != 0, **context
        )

    def rank(self, items, behaviors, candidates, **context):
        """Returns the scores of the candidates, and which of them are known."""
        history, known = self._read(items, behaviors, context)
        candidate_ids = self._item_ids(candidates)
        scores = self._model.score_candidates(history, candidate_ids)
        return {
            "scores": tf.where(candidate_ids > 0, scores, LOWEST_SCORE),
            "known": candidate_ids > 0,
            "unknown": _unknown(items, behaviors, known),
        }

    def behavior(self, items, behaviors, candidates, **context):
        """Returns the probability of each behaviour for the candidates."""
        history, known = self._read(items, behaviors, context)
        read = self._model.read(history)
        logits = self._model.behavior_logits(read, self._item_ids(candidates))
        names = tf.constant(self._names)
        return {
            "probabilities": tf.nn.softmax(logits),
            # One row per history, so that a batch can be split into its answers.
            "names": tf.repeat(names[None], tf.shape(items)[0], axis=0),
            "unknown": _unknown(items, behaviors, known),
        }

    def explain(self, items, behaviors, **context):
        """Returns what the model sees of each history, oldest first, and its `explanation`."""
        history, known = self._read(items, behaviors, context)
        names = tf.gather(tf.constant(["", *self._names]), history[BEHAVIOR_IDS])
        return {
            "items": self.item_names.lookup(tf.cast(history[ITEM_IDS], tf.int64) - 1),
            "behaviors": names,
            **explanation(self._model, history),
            "unknown": _unknown(items, behaviors, known),
        }

    def reasons(self, items, behaviors, candidates, **context):
        """Returns what speaks most for each candidate, see `reason_outputs`, in names."""
        history, known = self._read(items, behaviors, context)
        told = reason_outputs(self._model, history, self._item_ids(candidates))
        item_ids, behavior_ids = told.pop("item_ids"), told.pop("behavior_ids")
        names = tf.constant(self._names)
        return {
            **told,
            "items": self.item_names.lookup(tf.cast(item_ids, tf.int64) - 1),
            "behaviors": tf.gather(tf.constant(["", *self._names]), behavior_ids),
            "names": tf.repeat(names[None], tf.shape(items)[0], axis=0),
            "unknown": _unknown(items, behaviors, known),
        }

    def _item_ids(self, items):
        return tf.cast(self.item_lines.lookup(items) + 1, tf.int32)

    def _known(self, items, behaviors):
        """Returns item and behaviour ids, 0 if unknown, and which events are known."""
        tf.debugging.assert_equal(tf.shape(items), tf.shape(behaviors), _PAIRS)
        item_ids, behavior_ids = self._item_ids(items), self.behavior_ids.lookup(behaviors)
        return item_ids, behavior_ids, (item_ids > 0) & (behavior_ids > 0)

    def _read(self, items, behaviors, context):
        """Returns what the model sees of histories, and which of the events are known."""
        item_ids, behavior_ids, known = self._known(items, behaviors)
        return self._history(item_ids, behavior_ids, known, context), known

    def _history(self, item_ids, behavior_ids, known, context):
        """Returns the features of the most recent known events, moved to the right end."""
        if self._model.config.input_behaviors == "target":
            known &= behavior_ids == self._model.config.behaviors.target_id
        order = tf.argsort(tf.cast(known, tf.int32), axis=1, stable=True)
        last = order[:, -self._model.config.max_length :]
        # A model needs at least one position, if only padding.
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
    """Returns a table that looks up the lines of a file."""
    initializer = tf.lookup.TextFileInitializer(str(file), *key, *value)
    return tf.lookup.StaticHashTable(initializer, default_value=default)


def _since_first(times, real):
    """Returns the time of each event since the first `real` one, float32 `[batch, length]`."""
    place = tf.argmax(tf.cast(real, tf.int32), axis=1)
    first = tf.gather(times, place, batch_dims=1)[:, None]
    return tf.cast(tf.where(real, times - first, 0), tf.float32)


def _column(values, rows):
    """Returns `[batch]` as `[batch, 1]`, or a scalar for all `rows` as `[1, 1]`.

    `rows` are `[batch, events]`.
    """
    values = tf.reshape(values, [-1])
    count = tf.shape(values)[0]
    fits = tf.debugging.Assert((count == 1) | (count == tf.shape(rows)[0]), [_PER_ROW])
    with tf.control_dependencies([fits]):
        return values[:, None]


def _unknown(items, behaviors, known):
    """Counts the ignored events of each history except padding, int32 `[batch]`."""
    given = (items != "") | (behaviors != "")
    return tf.reduce_sum(tf.cast(given & ~known, tf.int32), axis=1)
