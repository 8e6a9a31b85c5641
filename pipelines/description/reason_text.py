"""Reasons of recommendations in a few words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pipelines.description.numbers import counted

_OTHERS = {"popularity": "popular", "network": "the model's network"}


@dataclasses.dataclass(frozen=True)
class Reason:
    """What speaks most for an item, in names.

    Args:
        kind: one of `hmar_keras.reasons.KINDS`.
        item: the item of the event that speaks most for it; "" if there is none.
        behavior: the behaviour of that event.
        ago: how many events are newer than that one.
        counts: names of behaviours, and how often the user did each to the item.
    """

    kind: str
    item: str = ""
    behavior: str = ""
    ago: int = 0
    counts: Sequence[tuple[str, int]] = ()


def reason_text(reason: Reason) -> str:
    """Returns a reason in words; names stay as the log has them.

    Example:

    >>> reason_text(Reason("touched", ago=3, counts=[("view", 2), ("buy", 1)]))
    'you: view x2, buy, last 3 events ago'
    >>> reason_text(Reason("together", "Desk", "buy"))
    'goes with Desk (buy)'
    """
    if reason.kind == "together":
        return f"goes with {reason.item} ({reason.behavior})"
    if reason.kind != "touched":
        return _OTHERS[reason.kind]
    times = [f"{name} x{n}" if n > 1 else name for name, n in reason.counts if n]
    when = f"last {counted(reason.ago, 'event')} ago" if reason.ago else "the newest event"
    return f"you: {', '.join(times)}, {when}"
