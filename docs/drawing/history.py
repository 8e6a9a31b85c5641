"""A picture of the counts and masks of a small history, computed by the layers themselves."""

from __future__ import annotations

import numpy as np
from svg import Picture

from hmar_keras.layers import HistoricalBehaviorIndicators
from hmar_keras.masks import history_mask, same_behavior_mask

BEHAVIORS = ("view", "cart", "buy")
ITEMS = [0, 7, 5, 7, 7, 9, 7]  # oldest first; 0 is padding
ACTIONS = [0, 1, 1, 1, 2, 1, 3]
CANDIDATES = [7, 4]
LEFT, CELL = 112, 56  # left edge and cell size of the table of counts
SQUARE = 28  # cell size of the masks


def draw() -> Picture:
    """Draws the picture."""
    picture = Picture(
        920,
        562,
        "Indicators and masks of a small history",
        "A history of padding and six events: view of item 7, view of item 5, view and cart of "
        "item 7, view of item 9, buy of item 7. Below each event are the counts of views, carts "
        "and buys of its item up to and including it: for item 7 they grow from one view to two "
        "views, one cart and one buy. Two candidates follow: item 7 has the counts of the complete "
        "history, item 4 none. Below, the behaviour encoders' mask lets an event see earlier "
        "events of its own behaviour and itself, the sequence encoder's mask all earlier events "
        "and itself; neither shows padding.",
    )
    items, actions = np.array([ITEMS]), np.array([ACTIONS])
    _counts(picture, items, actions)
    masks = np.asarray(same_behavior_mask(actions))[0], np.asarray(history_mask(items))[0]
    titles = ("Behaviour encoders see (Eq. 5–9)", "Sequence encoder sees (Eq. 11)")
    notes = ("earlier events of the same behaviour, and itself", "all earlier events, and itself")
    for x, mask, title, note in zip((LEFT, 560), masks, titles, notes, strict=True):
        _mask(picture, x, 316, mask)
        picture.words(x, 274, title, "title")
        picture.words(x, 292, note, "small")
    picture.words(
        LEFT, 540, "Rows are the events that attend, columns the events they attend to.", "small"
    )
    return picture


def _counts(picture, items, actions):
    indicators = HistoricalBehaviorIndicators(len(BEHAVIORS))
    of_events = np.asarray(indicators(items, actions))[0]
    of_candidates = np.asarray(indicators(items, actions, np.array([[CANDIDATES]])))[0, 0]
    picture.words(LEFT, 32, "History, oldest first", "title")
    edge = LEFT + len(ITEMS) * (CELL + 8) + 24
    picture.words(edge, 32, "Candidates for the next item", "title")
    picture.words(LEFT, 124, "Historical behaviour indicators (Fig. 1)", "title")
    for row, behavior in enumerate(BEHAVIORS):
        picture.words(LEFT - 12, 156 + 32 * row, behavior, f"end strong {behavior}")
    for place, counts in enumerate([*of_events, *of_candidates]):
        x = LEFT + place * (CELL + 8) + (24 if place >= len(ITEMS) else 0)
        if place < len(ITEMS):
            _event(picture, x, ITEMS[place], ACTIONS[place])
        else:
            _event(picture, x, CANDIDATES[place - len(ITEMS)], None)
        for row, count in enumerate(counts):
            _count(picture, x, 136 + 32 * row, int(count), BEHAVIORS[row])
    x = edge + 2 * (CELL + 8) + 8
    notes = (
        "counts of the item up",
        "to and including the",
        "event; of a candidate",
        "up to the newest",
    )
    for line, text in enumerate(notes):
        picture.words(x, 150 + 19 * line, text, "small")


def _event(picture, x, item, action):
    name = BEHAVIORS[action - 1] if action else ("?" if action is None else "padding")
    picture.box(x, 44, CELL, 48, f"{name if action else 'seen'} tint")
    picture.words(x + CELL / 2, 64, f"item {item}" if item else "0", "middle")
    kind = f"strong {name}" if action else "small"
    picture.words(x + CELL / 2, 82, name, f"middle {kind}")


def _count(picture, x, y, count, behavior):
    picture.box(x, y, CELL, 30, f"{behavior} tint" if count else "grid", 4)
    picture.words(x + CELL / 2, y + 20, str(count), f"middle {'strong' if count else 'small'}")


def _mask(picture, x, y, mask):
    for place, (item, action) in enumerate(zip(ITEMS, ACTIONS, strict=True)):
        name = BEHAVIORS[action - 1] if action else "padding"
        top, middle = y + place * SQUARE, place * SQUARE + SQUARE / 2
        row = f"{name} {item}" if action else name
        picture.words(x - 8, y + middle + 4, row, f"end {name if action else 'small'}")
        column = f"{name[0]}{item}" if action else "–"
        picture.words(x + middle, y - 5, column, "middle small")
        for key, seen in enumerate(mask[place]):
            kind = name if seen and action else "grid"
            picture.box(x + key * SQUARE + 1.5, top + 1.5, SQUARE - 3, SQUARE - 3, kind, 3)
