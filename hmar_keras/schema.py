"""Names and conventions shared by every layer, model and pipeline.

Ids of items and behaviours start at 1; 0 is padding. Sequences are padded on the left, so the
newest event is always in the last column.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

PADDING_ID = 0
_MOST_BITS = 6

# What a model may read about a user; its `features` name what it reads.
ITEM_IDS = "item_ids"  # int [batch, length], the history, oldest first
BEHAVIOR_IDS = "behavior_ids"  # int [batch, length], what was done to each item
USER_IDS = "user_ids"  # int [batch], users of the log, from 1; 0 is a stranger, not in the log
# float [batch, length], time since the first of these events, in the log's own unit; 0 at padding
TIMESTAMPS = "timestamps"
FEATURES = (ITEM_IDS, BEHAVIOR_IDS, USER_IDS, TIMESTAMPS)

# What a model scores.
CANDIDATE_IDS = "candidate_ids"  # int [batch, steps, candidates], items to score
# int [batch, negatives], more items to score at every step, only for models whose objective has
# shared negatives: with a memory first the history itself, and then items outside the history
NEGATIVE_IDS = "negative_ids"

# What a memory of the log reads in addition, see `hmar_keras.layers.LogMemory`.
ANSWER_BEHAVIORS = "answer_behaviors"  # int [batch, steps], the behaviour to predict the item of
OWN_SHARES = "own_shares"  # float [batch, length, sessions], in training only
ANSWER_SHARES = "answer_shares"  # float [batch, steps, sessions], in training only
MEMORY_INPUTS = (ANSWER_BEHAVIORS, OWN_SHARES, ANSWER_SHARES)

# Model outputs; the output layers carry exactly these names.
RANKING = "ranking"  # float [batch, steps, candidates], logits
# float [batch, steps, candidates], only with a memory: logits of the network alone
NETWORK = "network"
BEHAVIOR = "behavior"  # float [batch, steps, behaviours], logits for candidate 0


@dataclasses.dataclass(frozen=True)
class Behaviors:
    """The behaviours in a log, and the one to predict.

    Args:
        names: behaviour names from weak to strong, e.g. `("view", "cart", "buy")`. The id of
            `names[i]` is `i + 1`.
        target: the behaviour whose next item is predicted and evaluated; one of `names`.

    Raises:
        ValueError: if names are empty, repeated or not strings, or the target is not one of them.
    """

    names: tuple[str, ...]
    target: str

    def __post_init__(self):
        if isinstance(self.names, str) or not isinstance(self.names, Iterable):
            raise ValueError(f"behaviour names must be a list of strings, got {self.names!r}.")
        object.__setattr__(self, "names", tuple(self.names))
        if not self.names:
            raise ValueError("behaviours must name at least one behaviour.")
        for name in self.names:
            if not isinstance(name, str) or not name.strip():
                raise ValueError(f"behaviour names must be non-empty strings, got {name!r}.")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"behaviour names must differ from each other, got {self.names}.")
        if self.target not in self.names:
            raise ValueError(
                f"target behaviour {self.target!r} is not one of the behaviours "
                f"{', '.join(self.names)}."
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def target_id(self) -> int:
        """Id of the target behaviour."""
        return self.id_of(self.target)

    def id_of(self, name: str) -> int:
        """Returns the id (from 1) of a behaviour name.

        Raises:
            ValueError: if the name is not one of the behaviours.
        """
        if name not in self.names:
            raise ValueError(
                f"unknown behaviour {name!r}; the behaviours are {', '.join(self.names)}."
            )
        return self.names.index(name) + 1


def behavior_bits(num_behaviors: int) -> list[int]:
    """Returns a bit for each behaviour id, from 0, so that a sum of bits stands for a set.

    Sets have at most 64 values: with more than six behaviours, the weakest ones share a bit.

    Example:

    >>> behavior_bits(3), behavior_bits(8)
    ([0, 1, 2, 4], [0, 1, 1, 1, 2, 4, 8, 16, 32])
    """
    shared = max(num_behaviors - _MOST_BITS, 0)
    return [0, *(1 << max(id - 1 - shared, 0) for id in range(1, num_behaviors + 1))]
