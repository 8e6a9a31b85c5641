"""Where a model's items start: at what the training events say of which items go together."""

from __future__ import annotations

import math

import numpy as np
from keras import ops
from scipy import sparse
from scipy.sparse.linalg import svds

from hmar_keras.layers import ItemNeighbors, ItemTable
from hmar_keras.models import SequentialRecommender
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.splits import Splits, event_users

_ITEMS_AT_ONCE = 1024  # whose neighbours are counted together


def touched_items(splits: Splits) -> sparse.csr_array:
    """Which users touched which items in training: 1 at `[user, item id]`, however often.

    Returns:
        float32 [users, num_items + 1].
    """
    dataset: InteractionDataset = splits.dataset
    trained = splits.training_events()
    users, items = event_users(dataset)[trained], dataset.item_ids[trained]
    shape = (dataset.num_users, dataset.num_items + 1)
    touched = sparse.csr_array((np.ones(len(users), np.float32), (users, items)), shape)
    touched.data[:] = 1
    return touched


def start_items(model: SequentialRecommender, splits: Splits) -> None:
    """Lets the items of a new model begin where its settings say."""
    config, splits = model.config, splits.visible(model.config.events)
    if config.item_start == "cooccurrence":
        length = told_apart(config.num_items) if config.history_sum else None
        if length and config.scale_embeddings:
            length /= math.sqrt(config.dim)
        start_from_cooccurrence(model.item_table, splits, length)
    neighbors = getattr(model, "neighbors", None)
    if neighbors is not None:
        find_neighbors(neighbors, splits)


def told_apart(num_items: int) -> float:
    """How long embeddings are whose products rank items well from the first step.

    Asked for itself among a catalogue of items unlike it, whose products with it are 0, a softmax
    gives an item the probability 1/2.
    """
    return math.sqrt(math.log(num_items))


def start_from_cooccurrence(table: ItemTable, splits: Splits, length: float | None = None) -> None:
    """Writes embeddings into a table whose products tell which items have users in common.

    They are the leading left singular vectors of the matrix of items and users in which both have
    been divided by the root of their sums (the normalised Laplacian's, as in spectral
    clustering), times the root of the singular values, and every row of one length. What nobody
    touched in training keeps its random row; where the matrix has fewer singular vectors than the
    table has columns, so does the rest of the columns.

    Args:
        table: with a row an item, built.
        splits: the training events.
        length: of the rows; None for that of the random rows on average.
    """
    touched = touched_items(splits)
    old = np.array(ops.convert_to_numpy(table.embeddings))
    rank = min(old.shape[1], min(touched.shape) - 1)
    if rank < 1:
        return
    by_user = 1 / np.sqrt(np.maximum(touched.sum(axis=1), 1))
    by_item = 1 / np.sqrt(np.maximum(touched.sum(axis=0), 1))
    weighted = sparse.diags_array(by_user) @ touched @ sparse.diags_array(by_item)
    start = np.random.default_rng(0).standard_normal(min(touched.shape))
    _, values, vectors = svds(weighted, k=rank, v0=start)
    new = old.copy()
    new[:, :rank] = vectors.T * np.sqrt(np.maximum(values, 0))
    lengths = np.linalg.norm(new[:, :rank], axis=1, keepdims=True)
    if length is None:
        length = np.sqrt(np.mean(np.sum(np.square(old[:, :rank]), axis=1)))
    is_told = lengths[:, 0] > 1e-6 * lengths.max()
    new[:, :rank] *= length / np.maximum(lengths, 1e-30)
    table.embeddings.assign(np.where(is_told[:, None], new, old).astype(np.float32))


def find_neighbors(layer: ItemNeighbors, splits: Splits) -> None:
    """Tells a layer which items have most users in common: the cosine of their users.

    The cosines are those of vectors as long as `told_apart` says. Of equally alike items those with
    the lower ids are taken.

    Args:
        layer: built.
        splits: the training events.
    """
    touched = touched_items(splits)
    shares = np.sqrt(1 / np.maximum(touched.sum(axis=0), 1)) * told_apart(layer.num_items)
    by_item = (touched @ sparse.diags_array(shares)).tocsc()
    shape = (layer.num_items + 1, layer.num_neighbors)
    ids, similarities = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    for start in range(0, shape[0], _ITEMS_AT_ONCE):
        alike = (by_item[:, start : start + _ITEMS_AT_ONCE].T @ by_item).tocoo()
        rows, columns, values = alike.row + start, alike.col, alike.data
        order = np.lexsort((columns, -values, rows))
        order = order[rows[order] != columns[order]]  # an item is no evidence for itself
        rows, columns, values = rows[order], columns[order], values[order]
        places = np.arange(len(rows)) - np.searchsorted(rows, rows)
        best = places < layer.num_neighbors
        ids[rows[best], places[best]] = columns[best]
        similarities[rows[best], places[best]] = values[best]
    layer.assign_neighbors(ids, similarities, shares)
