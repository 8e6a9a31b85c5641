"""Which training windows share a batch: windows of similar length, in batches of similar work.

Almost all histories are short, so with batches padded to the longest window of the log, most of a
step would be spent on padding. Therefore windows are put into length buckets. Each epoch shuffles
every bucket, concatenates the buckets, cuts the result into batches and shuffles the batches.
Every window appears exactly once per epoch, together with random windows of its length. A batch is
only as long as its longest window needs, and the shorter it is, the more windows it holds. So all
batches hold about the same number of events: a step's gradient is a mean over as many events as
without buckets, and steps take about equally long. The more windows there are, the finer the
buckets, and the less padding there is.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from hmar_keras.training_config import TrainingConfig

_STEPS = (1, 2, 4, 8)  # between the shortest bucket lengths, the finest first
_BATCHES_IN_A_CLASS = 8  # on average; with few, the same windows would share a batch every epoch


def padded_lengths(
    lengths: np.ndarray, max_length: int, few: bool = False, step: int = _STEPS[-1]
) -> np.ndarray:
    """Returns the lengths that sequences are padded to, rounded up so that there are only a few.

    They are multiples of 8, from 128 on of 16, from 256 on of 32, and so on: beyond 64, at most an
    eighth too long. A smaller `step` makes all multiples smaller by the same factor. With `few`,
    they are powers of two from 16 on.

    Args:
        lengths: int [...], from 1 to `max_length`.
        max_length: the longest length to pad to.
        few: use the fewest lengths, because XLA compiles the step for each, which takes seconds.
        step: 1, 2, 4 or 8.
    """
    lengths = np.asarray(lengths)
    if few:
        powers = np.ceil(np.log2(np.maximum(lengths, 16))).astype(np.int64)
        return np.minimum(2**powers, max_length)
    doublings = np.maximum(np.floor(np.log2(np.maximum(lengths, 1))) - 6, 0).astype(np.int64)
    steps = step * 2**doublings
    return np.minimum(-(-lengths // steps) * steps, max_length)


def _finest_padded_lengths(lengths, max_length, batch_size):
    """Returns `padded_lengths` with the finest step at which buckets still hold several batches."""
    for step in _STEPS:
        padded = padded_lengths(lengths, max_length, step=step)
        classes = len(np.unique(padded))
        if len(lengths) >= _BATCHES_IN_A_CLASS * classes * batch_size:
            break
    return padded


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """Where an epoch is cut into batches; the same for every epoch.

    Args:
        classes: int64 [windows], the length bucket of each window, lowest for the longest windows;
            windows are shuffled within their bucket.
        starts: int64 [batches + 1]; batch `i` is `starts[i]:starts[i + 1]` of the ordered windows.
        lengths: int64 [batches], the length that the batch's windows are padded to.
    """

    classes: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(
        cls,
        lengths: np.ndarray,
        training: TrainingConfig,
        max_length: int,
        few_lengths: bool = False,
    ) -> BatchPlan:
        """Plans the batches of windows with the given numbers of events.

        Args:
            lengths: int [windows], from 1 to `max_length`.
            training: with `batching == "mixed"`, windows of all lengths share batches of exactly
                `batch_size` windows, padded to `max_length`; with `"by_length"`, a batch holds
                `batch_size` windows on average.
            max_length: the longest length to pad to.
            few_lengths: see `padded_lengths`.
        """
        if training.batching == "mixed":
            padded = np.full(len(lengths), max_length)
        elif few_lengths:
            padded = padded_lengths(lengths, max_length, few=True)
        else:
            padded = _finest_padded_lengths(lengths, max_length, training.batch_size)
        longest_first = np.sort(padded)[::-1]
        budget = training.batch_size * padded.mean()
        starts = [0]
        while starts[-1] < len(padded):
            rows = max(1, round(budget / longest_first[starts[-1]]))
            starts.append(min(starts[-1] + rows, len(padded)))
        starts = np.array(starts)
        return cls(max_length - padded, starts, longest_first[starts[:-1]])

    @property
    def num_batches(self) -> int:
        """Batches per epoch."""
        return len(self.lengths)
