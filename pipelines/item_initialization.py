"""Where the item table starts: at what the training events say of which items go together."""

from __future__ import annotations

import numpy as np
from keras import ops
from scipy import sparse
from scipy.sparse.linalg import svds

from hmar_keras.layers import ItemTable
from hmar_keras.models import SequentialRecommender
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.splits import Splits, event_users


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
    if model.config.item_start == "cooccurrence":
        start_from_cooccurrence(model.item_table, splits.visible(model.config.events))


def start_from_cooccurrence(table: ItemTable, splits: Splits) -> None:
    """Writes embeddings into a table whose products tell which items have users in common.

    They are the leading left singular vectors of the matrix of items and users in which both have
    been divided by the root of their sums (the normalised Laplacian's, as in spectral
    clustering), times the root of the singular values, and every row as long as the random rows
    are on average. What nobody touched in training keeps its random row; where the
    matrix has fewer singular vectors than the table has columns, so does the rest of the columns.

    Args:
        table: with a row an item, built.
        splits: the training events.
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
    usual = np.sqrt(np.mean(np.sum(np.square(old[:, :rank]), axis=1)))
    is_told = lengths[:, 0] > 1e-6 * lengths.max()
    new[:, :rank] *= usual / np.maximum(lengths, 1e-30)
    table.embeddings.assign(np.where(is_told[:, None], new, old).astype(np.float32))
