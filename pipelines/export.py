"""From a trained model to a SavedModel that answers in the catalogue's own names.

    saved_models/NAME/VERSION/
      saved_model.pb, variables/     the graph and one copy of the weights
      assets/items.txt               the vocabulary of items, one a line
      assets.extra/hmar.json         behaviours, settings and where the model comes from

Signatures; every string tensor is `[batch, events]`, shorter histories padded with "" on either
side. Events whose item or behaviour is unknown are left out, as is padding.

- `serving_default`, also called `recommend`: `items`, `behaviors`, `k` (default 10) and
  `exclude_seen` (default false) to `items` and `scores`, `[batch, k]`, best first. Without any
  known event the answer is what is popular. Where fewer than k items are left the rest is "".
- `rank`: `items`, `behaviors`, `candidates` `[batch, candidates]` to `scores` and `known`.
  Unknown candidates score lowest.
- `behavior`, of models that predict it: the same inputs to `probabilities`
  `[batch, candidates, K]` and `names` `[K]`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from hmar_keras.kernels import portable_kernels
from hmar_keras.models import SequentialRecommender
from hmar_keras.models.sequential_recommender import LOWEST_SCORE
from hmar_keras.schema import BEHAVIOR
from pipelines.errors import InputError

METADATA = Path("assets.extra") / "hmar.json"
_STRINGS = tf.TensorSpec((None, None), tf.string)
# Tensors, because only tensor defaults are stored with a signature.
_TEN, _NO = tf.constant(10), tf.constant(False)


class ServingModel:
    """A model with its vocabulary: the functions behind the signatures.

    Args:
        model: the trained model.
        popularity: float [num_items + 1] by item id; what to recommend to a stranger.
        vocabulary: path of a file with one item a line, which becomes an asset.
    """

    def __init__(self, model: SequentialRecommender, popularity, vocabulary: Path):
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

    def recommend(self, items, behaviors, k=_TEN, exclude_seen=_NO):
        """The best k items of the catalogue, `[batch, k]`, and their scores."""
        seen = self._item_ids(items)
        item_ids, behavior_ids = self._history(seen, behaviors)
        scores = self._model.score_catalog(item_ids, behavior_ids)
        stranger = tf.reduce_all(item_ids == 0, axis=1, keepdims=True)
        # Popularity of padding, id 0, is set to the lowest score when the model is exported.
        scores = tf.where(stranger, self.popularity[None], scores)
        hidden = tf.where(exclude_seen, seen, 0)
        rows = tf.broadcast_to(tf.range(tf.shape(seen)[0])[:, None], tf.shape(seen))
        where = tf.stack([rows, hidden], axis=-1)
        lowest = tf.fill(tf.shape(seen), LOWEST_SCORE)
        scores = tf.tensor_scatter_nd_min(scores, where, lowest)
        best = tf.math.top_k(scores, tf.minimum(k, self._model.config.num_items))
        names = self.item_names.lookup(tf.cast(best.indices, tf.int64) - 1)
        return {
            "items": tf.where(best.values > LOWEST_SCORE, names, ""),
            "scores": best.values,
        }

    def rank(self, items, behaviors, candidates):
        """Scores of the given candidates, and which of them are known."""
        item_ids, behavior_ids = self._history(self._item_ids(items), behaviors)
        candidate_ids = self._item_ids(candidates)
        scores = self._model.score_candidates(item_ids, behavior_ids, candidate_ids)
        known = candidate_ids > 0
        return {"scores": tf.where(known, scores, LOWEST_SCORE), "known": known}

    def behavior(self, items, behaviors, candidates):
        """How likely the user does what to the given candidates."""
        item_ids, behavior_ids = self._history(self._item_ids(items), behaviors)
        logits = self._model.behavior_logits(item_ids, behavior_ids, self._item_ids(candidates))
        return {"probabilities": tf.nn.softmax(logits), "names": tf.constant(self._names)}

    def _item_ids(self, items):
        return tf.cast(self.item_lines.lookup(items) + 1, tf.int32)

    def _history(self, item_ids, behaviors):
        """Known events only, moved to the right end in their order, the most recent ones."""
        behavior_ids = self.behavior_ids.lookup(behaviors)
        known = (item_ids > 0) & (behavior_ids > 0)
        if self._model.config.events == "target":
            known &= behavior_ids == self._model.config.behaviors.target_id
        order = tf.argsort(tf.cast(known, tf.int32), axis=1, stable=True)
        last = order[:, -self._model.config.max_length :]
        return tuple(
            tf.gather(tf.where(known, ids, 0), last, batch_dims=1)
            for ids in (item_ids, behavior_ids)
        )


def export(
    model: SequentialRecommender,
    items: np.ndarray,
    popularity: np.ndarray,
    directory: str | os.PathLike,
    provenance: dict,
) -> Path:
    """Writes the next version of a SavedModel.

    Args:
        model: the trained model.
        items: str [num_items], the vocabulary.
        popularity: float [num_items + 1] by item id.
        directory: of the model's versions, `saved_models/NAME`.
        provenance: dataset, seed and the like, for `hmar.json`.

    Returns:
        the directory of the version.

    Raises:
        InputError: if it cannot be written, or an item's name has a line break.
    """
    directory = Path(directory)
    if any("\n" in item or "\r" in item for item in items.tolist()):
        raise InputError("an item's name has a line break, which a vocabulary cannot hold.")
    temporary = make_temporary(directory)
    try:
        complete = temporary / "complete"
        _write(model, items, popularity, temporary, complete)
        (complete / METADATA).parent.mkdir()
        metadata = {"config": model.config.to_dict(), **provenance}
        (complete / METADATA).write_text(json.dumps(metadata, indent=2) + "\n")
        version = directory / str(max(versions(directory), default=0) + 1)
        os.rename(complete, version)
    finally:
        shutil.rmtree(temporary)
    return version


def make_temporary(directory: str | os.PathLike) -> Path:
    """A new directory inside one that is made if need be.

    TensorFlow Serving looks at whole numbers alone, so what lies there is not served.

    Raises:
        InputError: if the directory cannot be written.
    """
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".exporting-", dir=directory))
    except OSError as error:
        raise InputError(
            f"{directory} cannot be written ({error.strerror}); choose another directory."
        ) from error


def versions(directory: Path) -> list[int]:
    """The versions there are, ascending."""
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdecimal())


def _write(model, items, popularity, temporary, complete):
    vocabulary = temporary / "items.txt"
    vocabulary.write_text("".join(f"{item}\n" for item in items.tolist()))
    popularity = np.asarray(popularity, np.float32).copy()
    popularity[0] = LOWEST_SCORE
    serving = ServingModel(model, popularity, vocabulary)
    archive = keras.export.ExportArchive()
    for table in (serving.item_lines, serving.item_names, serving.behavior_ids):
        archive.track(table)
    asked = [_STRINGS, _STRINGS]
    scalars = [tf.TensorSpec((), tf.int32), tf.TensorSpec((), tf.bool)]
    with portable_kernels():  # it may be served on a GPU
        archive.add_endpoint("serving_default", serving.recommend, [*asked, *scalars])
        archive.add_endpoint("recommend", serving.recommend, [*asked, *scalars])
        archive.add_endpoint("rank", serving.rank, [*asked, _STRINGS])
        if BEHAVIOR in model.outputs_in_order:
            archive.add_endpoint("behavior", serving.behavior, [*asked, _STRINGS])
    archive.write_out(str(complete), verbose=False)
