"""Item similarities counted in the training events, from which models start."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from pipelines.protocol.splits import Splits
from pipelines.protocol.training_counts import touched_items


def cooccurrence_embeddings(old: np.ndarray, splits: Splits) -> np.ndarray:
    """Returns embeddings whose products tell which items have users in common.

    They are the leading left singular vectors of the item-user matrix, with rows and columns
    divided by the square roots of their sums (the normalised Laplacian of spectral clustering),
    times the square roots of the singular values. Every row is scaled to the average length of the
    random rows. Items that nobody has touched in training keep their random rows; if the matrix
    has fewer singular vectors than the table has columns, the remaining columns stay random, too.

    Args:
        old: float32 [num_items + 1, dim], the random embeddings.
        splits: the split dataset, whose training events are counted.

    Returns:
        float32 of the same shape.
    """
    touched = touched_items(splits)
    rank = min(old.shape[1], min(touched.shape) - 1)
    if rank < 1:
        return old
    by_user = 1 / np.sqrt(np.maximum(touched.sum(axis=1), 1))
    by_item = 1 / np.sqrt(np.maximum(touched.sum(axis=0), 1))
    weighted = sparse.diags_array(by_user) @ touched @ sparse.diags_array(by_item)
    start = np.random.default_rng(0).standard_normal(min(touched.shape))
    _, values, vectors = svds(weighted, k=rank, v0=start)
    new = old.copy()
    new[:, :rank] = vectors.T * np.sqrt(np.maximum(values, 0))
    lengths = np.linalg.norm(new[:, :rank], axis=1, keepdims=True)
    length = np.sqrt(np.mean(np.sum(np.square(old[:, :rank]), axis=1)))
    is_told = lengths[:, 0] > 1e-6 * lengths.max()
    new[:, :rank] *= length / np.maximum(lengths, 1e-30)
    return np.where(is_told[:, None], new, old).astype(np.float32)
