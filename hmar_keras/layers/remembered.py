"""The scores of a memory for a whole catalogue."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Remembered:
    """What a memory adds to the scores of a network for a whole catalogue.

    Args:
        gate: float32 scalar, the factor of the network's scores.
        bias: float32 `[num_items + 1]`, the scores of most items.
        scores: float32 `[batch, num_items + 1]`, all scores; those of item 0 mean nothing.
        item_ids: int32 `[batch, n]`, the items whose scores differ from `bias`; they may repeat,
            and 0 stands for none.
        touched_ids: int32 `[batch, length]`, the items whose `scores` are the whole scores, without
            the network; 0 stands for none.
    """

    gate: Any
    bias: Any
    scores: Any
    item_ids: Any
    touched_ids: Any
