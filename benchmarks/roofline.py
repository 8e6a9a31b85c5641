"""The least work of a training step: what its real positions need, counted from the equations.

Floating-point operations are the multiplications and additions of the matrix products: 2 n i o
forward for n positions through a kernel `[i, o]`, and as many again for each of the gradients of
inputs and kernel. Attention over p pairs (query, key not later; in the behaviour encoders, both of
one behaviour) takes 2 products of 2 p d forward and 4 backward. Eq. 1 to 3, 14 and 16 are counted
multiplied out, as `hmar_keras` computes them. Elementwise work, dropout's random numbers and
counting the indicators are taken to be free.

Bytes are those that must pass between memory and cores if everything else stays in a cache:

- activations that the backward pass needs, including attention's weights: written and read once;
- dense weights: read forward and backward, and the gradient written;
- looked-up rows: read, copied, used backward, and the gradient written and read;
- the optimiser: the gradient read, the weight and both moments read and written; for the item
  table only the touched rows, with one moment and a step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from machine import Machine

from hmar_keras import HMARConfig
from hmar_keras.schema import BEHAVIOR_IDS, CANDIDATE_IDS, ITEM_IDS

FLOAT = 4  # bytes
_BACK_TOO = 3  # one product forward, two backward


@dataclasses.dataclass(frozen=True)
class Counts:
    """What a batch holds without padding, or the mean over several batches.

    Args:
        positions: events in the histories.
        pairs: (query, key) of one history, the key not later.
        behavior_pairs: pairs of one behaviour.
        candidates: of all positions; one per position is the next item.
        touched: rows of the item table that are looked up.
        padded: positions including padding.
        padded_pairs: all (query, key), including padding and later keys.
    """

    positions: float
    pairs: float
    behavior_pairs: float
    candidates: float
    touched: float
    padded: float
    padded_pairs: float

    @classmethod
    def of(cls, inputs: dict) -> Counts:
        """Counts what a batch of `TrainingData` holds."""
        items, behaviors = (np.asarray(inputs[name]) for name in (ITEM_IDS, BEHAVIOR_IDS))
        candidates = np.asarray(inputs[CANDIDATE_IDS])
        rows, length = items.shape
        real = (items > 0).sum(axis=1)
        by_behavior = np.stack(
            [(behaviors == behavior).sum(axis=1) for behavior in range(1, behaviors.max() + 1)]
        )
        scored = candidates[items > 0]
        touched = np.union1d(items[items > 0], scored[scored > 0])
        return cls(
            positions=float(real.sum()),
            pairs=float(_pairs(real)),
            behavior_pairs=float(_pairs(by_behavior)),
            candidates=float(np.count_nonzero(scored)),
            touched=float(len(touched)),
            padded=float(rows * length),
            padded_pairs=float(rows * length**2),
        )

    @classmethod
    def mean(cls, batches: Iterable[dict]) -> Counts:
        """Returns the mean over batches."""
        counts = [dataclasses.astuple(cls.of(inputs)) for inputs in batches]
        return cls(*np.mean(counts, axis=0).tolist())


def _pairs(lengths):
    return (lengths * (lengths + 1) // 2).sum()


@dataclasses.dataclass(frozen=True)
class Work:
    """Floating-point operations, and bytes between memory and cores."""

    flops: float
    moved: float

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.moved + other.moved)

    def __mul__(self, count: float) -> Work:
        return Work(count * self.flops, count * self.moved)


def training_work(config: HMARConfig, counts: Counts) -> dict[str, Work]:
    """Counts the work of a step, part by part."""
    d, k = config.dim, config.num_behaviors
    is_projected = config.variant == "paper"
    behavior_weights = is_projected * (d * d + d) + k * (_attention_and_feed_forward(d) + 1)
    classifier = 2 * d * k
    item_weights = k * d + 2 * d * d + 3 * d + config.max_length * d
    head_weights = 2 * d * d + d + d * k + k
    sequence_weights = _attention_and_feed_forward(d)
    n, c = counts.positions, counts.candidates
    rows = 5 * (n + c) * d * FLOAT  # of the table
    # Saved for the backward pass: one vector per position, the sum of Eq. 4.
    items = _dense(n, d * d + k * d, saved=d, weights=item_weights) + Work(0, rows)
    behavior = _encoder(n, counts.behavior_pairs, d, config.num_heads, behavior_weights)
    if is_projected:
        behavior += _dense(n, d * d, saved=d, weights=0)
    sequence = _encoder(n, counts.pairs, d, config.num_heads, sequence_weights)
    # Eq. 3's matrix twice: on the states and, for the classifier, on the next item.
    heads = _dense(n, 2 * (d * d + k * d) + classifier, saved=3 * d, weights=head_weights)
    heads += _dense(c, d + k, saved=0, weights=0)
    blocks, sequence_blocks = config.num_behavior_blocks, config.num_sequence_blocks
    weights = item_weights + head_weights + blocks * behavior_weights
    weights += sequence_blocks * sequence_weights
    moved = (7 * weights + counts.touched * (5 * d + 2)) * FLOAT
    return {
        "items and positions": items,
        "behaviour encoder": behavior * blocks,
        "sequence encoder": sequence * sequence_blocks,
        "heads and losses": heads,
        "optimiser": Work(0, moved),
    }


def _attention_and_feed_forward(dim):
    """Counts the weights of Eq. 6 and 7."""
    return 5 * dim * dim + 2 * dim


def _dense(positions, weights_used, saved, weights):
    """Counts products with `weights_used` weights, which save `saved` floats per position."""
    moved = 2 * positions * saved + 3 * weights
    return Work(_BACK_TOO * 2 * positions * weights_used, moved * FLOAT)


def _encoder(positions, pairs, dim, heads, weights):
    """Counts attention and feed-forward network; saves Q, K, V, both outputs and hidden units."""
    dense = _dense(positions, 5 * dim * dim, saved=6 * dim, weights=weights)
    return dense + Work(6 * 2 * pairs * dim, 2 * pairs * heads * FLOAT)


def catalog_work(config: HMARConfig, questions: int) -> Work:
    """Counts scoring the whole catalogue for `questions` states: one product.

    The table is read once, and the scores are written and read once.
    """
    cells = questions * config.num_items
    moved = (config.num_items * config.dim + 2 * cells) * FLOAT
    return Work(2 * cells * config.dim, moved)


@dataclasses.dataclass(frozen=True)
class Floors:
    """The least time of some work, in milliseconds.

    Args:
        classic: the larger of computing and moving all of it, the usual roofline.
        by_part: the same part by part, added up.
        one_by_one: computing and moving without overlap.
    """

    classic: float
    by_part: float
    one_by_one: float

    @classmethod
    def of(cls, work: dict[str, Work], machine: Machine) -> Floors:
        """Computes the floors of all parts together."""
        total = sum(work.values(), Work(0, 0))
        return cls(
            machine.floor(total.flops, total.moved),
            sum(machine.floor(part.flops, part.moved) for part in work.values()),
            machine.floor(total.flops, 0) + machine.floor(0, total.moved),
        )
