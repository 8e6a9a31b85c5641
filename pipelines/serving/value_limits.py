"""Checks the values of a request, once its shapes are known to be valid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from pipelines.serving.limits import check_answer, check_shape
from pipelines.serving.request_error import RequestError


def check_values(inputs: Mapping[str, np.ndarray]) -> None:
    """Checks `k`, and the contents of `examples`.

    Args:
        inputs: arrays by name; either may be missing.

    Raises:
        RequestError: if an example is invalid, or more is requested than `limits` allows.
    """
    if "k" in inputs and inputs["k"].size:
        histories = len(inputs["items"]) if "items" in inputs else 1
        check_answer(histories, int(inputs["k"].max()))
    if "examples" in inputs:
        _check_examples(inputs["examples"].ravel().tolist())


def _check_examples(serialised):
    longest, largest_k = 0, 0
    for row, text in enumerate(serialised):
        try:
            features = tf.train.Example.FromString(text).features.feature
        except DecodeError as error:
            raise RequestError(
                "INVALID_ARGUMENT",
                f"row {row} of 'examples' is not a tf.train.Example; send what its "
                "SerializeToString() returns.",
            ) from error
        for name in ("items", "behaviors"):
            if name in features:
                longest = max(longest, len(features[name].bytes_list.value))
        if "k" in features:
            largest_k = max([largest_k, *features["k"].int64_list.value])
    check_shape("examples", (len(serialised), longest))
    check_answer(len(serialised), largest_k)
