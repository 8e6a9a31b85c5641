"""A picture of the complete model, as `hmar_keras.models.hmar` builds it."""

from __future__ import annotations

from svg import Picture

BEHAVIORS = ("view", "cart", "buy")
LEFT, RIGHT = 60, 600  # edges of the encoders; candidates and heads are to their right
LANE = 168
CANDIDATES, WIDTH = 640, 250  # left edge and width of the candidates
HEADS = 216  # width of the heads; the arrow of q passes to their right
HISTORY = [("7", "view"), ("5", "view"), ("7", "cart"), ("9", "view"), ("7", "buy")]


def draw() -> Picture:
    """Draws the picture."""
    picture = Picture(
        920,
        742,
        "The architecture of HMAR",
        "The historical behaviour indicators count the events of a history and of candidates for "
        "the next item; one item-behaviour embedding encodes both. Positions are added to the "
        "history. Behaviour encoders, one for each behaviour, attend only to events of their "
        "behaviour, with a ReZero connection around them; their sum goes through the sequence "
        "encoder, which attends to everything that is not later. The state after the newest event "
        "is multiplied with the candidates for the ranking, and concatenated with a candidate to "
        "predict which behaviour it will receive.",
    )
    _inputs(picture)
    _embedding(picture)
    _behavior_encoders(picture)
    _sequence_encoder(picture)
    _heads(picture)
    return picture


def _chips(picture, x, y, events, width):
    for place, (item, behavior) in enumerate(events):
        left = x + place * (width + 8)
        kind = behavior or "seen"
        picture.box(left, y, width, 40, f"{kind} tint")
        picture.words(left + width / 2, y + 17, f"item {item}", "middle")
        name = behavior or "?"
        picture.words(left + width / 2, y + 32, name, f"middle strong {behavior}")


def _inputs(picture):
    picture.words(LEFT, 32, "History, oldest first", "title")
    _chips(picture, LEFT, 42, HISTORY, 101.6)
    picture.words(CANDIDATES, 32, "Candidates for the next item", "title")
    _chips(picture, CANDIDATES, 42, [("7", ""), ("4", ""), ("8", "")], 78)
    picture.arrow((LEFT + 270, 82), (LEFT + 270, 104))
    picture.arrow((CANDIDATES + 125, 82), (CANDIDATES + 125, 104))


def _embedding(picture):
    width = CANDIDATES + WIDTH - LEFT
    picture.labelled(
        LEFT,
        106,
        width,
        44,
        "Historical behaviour indicators (Fig. 1)",
        "counts of each item's behaviours so far; a candidate's never include the next event",
        "shared",
    )
    picture.arrow((LEFT + 270, 150), (LEFT + 270, 168))
    picture.arrow((CANDIDATES + 125, 150), (CANDIDATES + 125, 168))
    picture.labelled(
        LEFT,
        170,
        width,
        44,
        "Item–behaviour embedding (Eq. 1–3)",
        "q = concat(item, counts) projected; one set of weights for history and candidates",
        "shared",
    )
    picture.arrow((LEFT + 270, 214), (LEFT + 270, 231))
    picture.circle(LEFT + 270, 243, 11, "+")
    picture.words(LEFT + 290, 247, "position, counted from the newest event (Eq. 4)", "small")


def _behavior_encoders(picture):
    top = 286
    picture.arrow((LEFT + 270, 254), (LEFT + 270, top - 2))
    picture.words(LEFT + 278, 274, "G", "math")
    picture.box(LEFT, top, RIGHT - LEFT, 268, "panel", 10)
    picture.words(LEFT + 14, top + 22, "Behaviour encoders", "title")
    picture.words(RIGHT - 14, top + 22, "one for each behaviour", "end small")
    gap = (RIGHT - LEFT - 3 * LANE) / 4
    for place, behavior in enumerate(BEHAVIORS):
        x = LEFT + gap + place * (LANE + gap)
        _lane(picture, x, top + 34, behavior)
        picture.arrow((x + LANE / 2, top + 226), (x + LANE / 2, top + 236))
    picture.labelled(LEFT + gap, top + 237, RIGHT - LEFT - 2 * gap, 24, "sum: O (Eq. 10)")


def _lane(picture, x, y, behavior):
    picture.box(x, y, LANE, 193, f"{behavior} tint", 8)
    picture.words(x + LANE / 2, y + 18, f"events of {behavior}", f"middle strong {behavior}")
    steps = ("mask, dense", "self-attention", "feed-forward", "+ γG, ReZero", "mask")
    left, middle = x + 24, x + 24 + (LANE - 32) / 2
    for place, step in enumerate(steps):
        top = y + 26 + place * 33
        picture.box(left, top, LANE - 32, 25)
        picture.words(left + 6, top + 17, step, "step")
        picture.words(left + LANE - 37, top + 17, f"Eq. {place + 5}", "end small")
        if place:
            picture.arrow((middle, top - 8), (middle, top - 1))
    # The masked G bypasses the first three steps.
    side, after = x + 11, y + 26 + 3 * 33 + 12.5
    picture.arrow((left, y + 38.5), (side, y + 38.5), (side, after), (left - 2, after), kind="skip")


def _sequence_encoder(picture):
    top = 580
    picture.box(LEFT, top, RIGHT - LEFT, 104, "panel", 10)
    picture.words(LEFT + 108, top + 22, "Sequence encoder", "title")
    picture.words(RIGHT - 14, top + 22, "across behaviours, nothing later, no padding", "end small")
    y = top + 40
    picture.arrow((LEFT + 94, 547), (LEFT + 94, y - 2))
    picture.words(LEFT + 102, 568, "O", "math")
    picture.labelled(LEFT + 14, y, 160, 40, "Self-attention", "Eq. 11")
    picture.arrow((LEFT + 174, y + 20), (LEFT + 224, y + 20))
    picture.circle(LEFT + 237, y + 20, 12, "+")
    picture.words(LEFT + 254, y + 40, "Eq. 12", "small")
    picture.arrow((LEFT + 249, y + 20), (LEFT + 314, y + 20))
    picture.labelled(LEFT + 316, y, 160, 40, "Feed-forward", "Eq. 13")
    # G bypasses the behaviour encoders.
    side = LEFT - 26
    picture.arrow(
        (LEFT + 270, 262),
        (side, 262),
        (side, top + 122),
        (LEFT + 237, top + 122),
        (LEFT + 237, y + 34),
        kind="skip",
    )
    picture.words(side + 8, 257, "G", "math")


def _heads(picture):
    q, z = CANDIDATES + WIDTH - 12, RIGHT + 20
    ranking, behavior, middle = 316, 440, 44
    picture.arrow((q, 214), (q, behavior + middle), (CANDIDATES + HEADS + 2, behavior + middle))
    picture.arrow((q, ranking + middle), (CANDIDATES + HEADS + 2, ranking + middle))
    picture.words(q - 8, 238, "q, the encoded candidates", "end small")
    picture.arrow(
        (LEFT + 476, 640), (z, 640), (z, ranking + middle), (CANDIDATES - 2, ranking + middle)
    )
    picture.arrow((z, behavior + middle), (CANDIDATES - 2, behavior + middle))
    picture.words(LEFT + 488, 633, "z, the state", "small")
    _head(picture, ranking, "Ranking head", "z · q  (Eq. 14)", "which item comes next")
    _head(
        picture,
        behavior,
        "Behaviour head",
        "concat(z, q), dense  (Eq. 16)",
        "which behaviour it receives",
    )
    picture.box(CANDIDATES, 580, WIDTH, 104, "panel", 10)
    picture.words(CANDIDATES + 14, 602, "Training", "title")
    picture.words(CANDIDATES + 14, 626, "ranking loss, by behaviour (Eq. 15)", "small")
    picture.words(CANDIDATES + 14, 646, "+ θ · behaviour loss (Eq. 17)", "small")
    picture.words(CANDIDATES + 14, 666, "= total loss (Eq. 18)", "small")


def _head(picture, y, name, formula, answer):
    picture.box(CANDIDATES, y, HEADS, 88, "shared", 8)
    for line, (text, kind) in enumerate([(name, "title"), (formula, "small"), (answer, "")]):
        picture.words(CANDIDATES + HEADS / 2, y + 26 + 24 * line, text, f"middle {kind}")
