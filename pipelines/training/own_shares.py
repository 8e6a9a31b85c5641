"""How much of what pairs of items share comes from each training user's own sessions."""

from __future__ import annotations

import dataclasses

import numpy as np

from pipelines.protocol.sessions import CountedSessions
from pipelines.protocol.splits import Splits, event_users
from pipelines.protocol.training_counts import touched_items


@dataclasses.dataclass(frozen=True)
class OwnShares:
    """The sessions of each user that have the item of each event.

    The sum of the products of two events' shares is what their user adds to the pair of their
    items, see `hmar_keras.layers.LogMemory`.

    Args:
        pairs: int32 [events], the number of the event's (user, item) pair; 0 for an event that is
            not trained on.
        starts: int64 [pairs + 1]; the sessions of pair p are entries `starts[p]:starts[p + 1]`.
        sessions: int32 [entries], numbers of a user's sessions, from 0.
        shares: float32 [entries], 1 / sqrt(number of different items in the session).
    """

    pairs: np.ndarray
    starts: np.ndarray
    sessions: np.ndarray
    shares: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays by name, with the prefix `share_`."""
        return {f"share_{name}": values for name, values in vars(self).items()}

    def sizes(self) -> tuple[int, int]:
        """Returns the most sessions of a pair, and the most sessions of a user."""
        return int(np.diff(self.starts).max(initial=1)), int(self.sessions.max(initial=0)) + 1

    @classmethod
    def of(cls, splits: Splits) -> OwnShares:
        """Collects the sessions that `log_counts` counts, too."""
        dataset = splits.dataset
        counted = CountedSessions.of(splits, touched_items(splits))
        owners, entries = counted.owners, counted.items.tocoo()
        lengths = np.maximum(counted.items.sum(axis=1), 1)
        # Numbers a user's sessions from 0; the first is the whole history.
        order = np.argsort(owners, kind="stable")
        numbers = np.empty(len(owners), np.int64)
        numbers[order] = np.arange(len(owners)) - np.searchsorted(owners[order], owners[order])
        stride = dataset.num_items + 1
        keys = owners[entries.row] * stride + entries.col
        order = np.lexsort((entries.row, keys))
        known, first = np.unique(keys[order], return_index=True)
        trained = splits.training_events()
        wanted = event_users(dataset)[trained] * stride + dataset.item_ids[trained]
        pairs = np.zeros(dataset.num_events, np.int32)
        pairs[trained] = 1 + np.searchsorted(known, wanted)
        rows = entries.row[order]
        return cls(
            pairs,
            np.concatenate([[0], first, [len(rows)]]),  # pair 0 has no session
            numbers[rows].astype(np.int32),
            (1 / np.sqrt(lengths[rows])).astype(np.float32),
        )
