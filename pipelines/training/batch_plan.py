"""Which training windows share a batch: windows of like length, in batches of like work.

Padding a batch to the longest window of the whole log would spend most of a step on padding:
histories are short but for a few. So windows are put in classes by length, each epoch shuffles
every class, lays the classes end to end and cuts that row into batches, and shuffles the batches.
Every window comes exactly once an epoch; with whom it shares its batch is random among windows
of its length. A batch is only as long as its longest window needs, and the shorter it is the more
windows it holds, so that every batch has about the same number of events: a step's gradient is a
mean over as many events as without the classes, and steps take about equally long. The more
windows there are, the finer the classes, and the less is padding.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from hmar_keras.training_config import TrainingConfig

_STEPS = (1, 2, 4, 8)  # between the shortest lengths of classes, the finest first
_BATCHES_IN_A_CLASS = 8  # on average, so that windows do not always meet the same ones


def padded_lengths(
    lengths: np.ndarray, max_length: int, few: bool = False, step: int = _STEPS[-1]
) -> np.ndarray:
    """The length that a sequence is padded to, so that there are only a few lengths.

    Multiples of 8, from 128 on of 16, from 256 on of 32 and so on: at most an eighth too long
    beyond 64. With another `step` all of it is as much finer. Or still fewer: powers of two
    from 16 on.

    Args:
        lengths: int [...], from 1 to `max_length`.
        max_length: nothing is padded further.
        few: for steps that XLA compiles for every length, which takes seconds each.
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
    """`padded_lengths` with the finest step at which classes still hold several batches."""
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
        classes: int64 [windows], ascending with falling length; windows of a class change places.
        starts: int64 [batches + 1]; batch `i` is `starts[i]:starts[i + 1]` of the ordered windows.
        lengths: int64 [batches], what its windows are padded to.
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
        """The plan for windows of the given numbers of events.

        Args:
            lengths: int [windows], from 1 to `max_length`.
            training: with `batching == "mixed"` windows of all lengths share batches of exactly
                `batch_size` windows, padded to `max_length`; with `"by_length"` a batch holds
                `batch_size` on average.
            max_length: nothing is padded further.
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
        """Batches an epoch."""
        return len(self.lengths)
