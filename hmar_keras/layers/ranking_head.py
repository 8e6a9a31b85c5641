"""Scores of candidates against the encoded history (Eq. 14)."""

from __future__ import annotations

import keras
from keras import ops


def last_steps(states, candidates):
    """The states that the candidates belong to: the last `steps` of `[batch, length, dim]`.

    `candidates` is anything whose second axis is `steps`.
    """
    return states[:, ops.shape(states)[1] - ops.shape(candidates)[1] :]


@keras.saving.register_keras_serializable(package="hmar_keras")
class RankingHead(keras.layers.Layer):
    """z . q for every candidate of every step.

    The output is the logit. The sigmoid of Eq. 14 is monotone, so it changes no ranking, but in
    float32 it makes large scores equal; the loss applies it where it is needed.

    Call arguments:
        states: float `[batch, length, dim]` (z).
        candidates: float `[batch, steps, candidates, dim]` (q), for the last `steps` states.

    Returns:
        float32 `[batch, steps, candidates]`, also under a mixed precision policy.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, states, candidates):
        """Scores the candidates."""
        states = last_steps(states, candidates)
        return ops.einsum("bsd,bscd->bsc", states, candidates)  # Eq. 14

    def compute_output_shape(self, states_shape, candidates_shape):
        """`[batch, steps, candidates]`."""
        return candidates_shape[:-1]
