"""Item similarities counted in the training events, from which models start."""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, sparse, special
from scipy.sparse.linalg import svds

from pipelines.protocol.splits import Splits
from pipelines.protocol.training_counts import touched_items

_PAIRS_AT_ONCE = 1 << 24  # half a gigabyte
_USERS_ASKED = 1000  # to fit the scale of the similarities


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


def find_neighbors(
    splits: Splits, count: int, max_length: int, weight: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds the items that have most users in common, by the scaled cosine of their users.

    Of equally similar items, those with the lower ids are taken. The scale is the one with which
    these scores alone would best predict the training events.

    Args:
        splits: the split dataset, whose training events are counted.
        count: number of neighbours per item.
        max_length: the number of a user's most recent events that the model sees.
        weight: factor that the scale is multiplied by.

    Returns:
        the arguments of `ItemNeighbors.assign_neighbors`.
    """
    touched = touched_items(splits)
    shares = np.sqrt(1 / np.maximum(touched.sum(axis=0), 1))
    ids, cosines = _most_alike(touched, shares, count)
    questions = _questions(ids, cosines, shares, splits, max_length)
    scale = weight * _foretelling_scale(questions)
    return ids, scale * cosines, math.sqrt(scale) * shares


def _most_alike(touched, shares, count):
    """Finds, for every item, the `count` other items with the greatest cosines.

    Returns:
        `(ids, cosines)`, int32 and float32 [num_items + 1, count]; 0 where there are fewer.
    """
    pairs = touched.T @ touched.sum(axis=1)  # per item: pairs with any item, over all users
    vectors = (touched @ sparse.diags_array(shares)).tocsc()
    shape = (len(shares), count)
    ids, cosines = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    blocks = (np.cumsum(pairs, dtype=np.float64) / _PAIRS_AT_ONCE).astype(int)
    for block in np.unique(blocks):
        start, end = np.searchsorted(blocks, [block, block + 1])
        alike = (vectors[:, start:end].T @ vectors).tocoo()
        rows, columns, values = alike.row + start, alike.col, alike.data
        order = np.lexsort((columns, -values, rows))
        order = order[rows[order] != columns[order]]  # an item is not its own neighbour
        rows, columns, values = rows[order], columns[order], values[order]
        places = np.arange(len(rows)) - np.searchsorted(rows, rows)
        best = places < count
        ids[rows[best], places[best]] = columns[best]
        cosines[rows[best], places[best]] = values[best]
    return ids, cosines


def _questions(ids, cosines, shares, splits, max_length):
    """Asks some users for the last item of their training, given their events on other items.

    Yields:
        for each user, the score of that item, without the user's own share; the scores above 0 of
        the items that the user has not touched; and how many untouched items have the score 0.
    """
    dataset, ends = splits.dataset, splits.train_ends
    starts = np.arange(0, ids.size + 1, ids.shape[1])
    alike = sparse.csr_array((cosines.ravel(), ids.ravel(), starts), (len(ids), len(ids)))
    users = np.flatnonzero(ends - dataset.offsets[:-1] > 1)
    for user in users[:: -(-len(users) // _USERS_ASKED) or 1]:
        items = dataset.item_ids[dataset.offsets[user] : ends[user]].astype(np.int64)
        answer, others = items[-1], items[:-1][-max_length:]
        others = others[others != answer]
        found = alike[others]
        scores = np.bincount(found.indices, found.data, minlength=len(ids))
        counted = found[:, [answer]].toarray()[:, 0] > 0
        own_share = shares[answer] * shares[others[counted]].sum()
        touched = np.unique(items)
        above = np.delete(scores, [0, *touched])
        above = above[above > 0]
        yield scores[answer] - own_share, above, dataset.num_items - len(touched) - len(above)


def _foretelling_scale(questions):
    """Returns the factor with which a softmax over the scores predicts the answers best."""
    asked = [
        (answer, np.append(above, answer), np.append(np.ones(len(above) + 1), zeros))
        for answer, above, zeros in questions
    ]

    def loss(log_scale):
        scale = math.exp(log_scale)
        return sum(
            special.logsumexp(np.append(scale * scores, 0.0), b=counts) - scale * answer
            for answer, scores, counts in asked
        )

    # Real logs stay far from the bounds; on tiny ones the optimum can be unbounded.
    return math.exp(optimize.minimize_scalar(loss, bounds=(-5, 5), method="bounded").x)
