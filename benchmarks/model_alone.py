"""An exported model called in this process, and what it does with the item matrix."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

# Operations that return the variable itself, not a copy.
_READS = ("ReadVariableOp", "VarHandleOp", "Identity", "_Arg")
_OPERATION = re.compile(r" = (\w+)\(")


def alone(version: Path, batches: dict[int, tuple], dim: int, calls: int) -> dict[str, list[float]]:
    """Measures milliseconds of `recommend` and of the part that it cannot do without, in turns.

    This part is one product of vectors with the item matrix and the ten best of each row. If every
    request copied the matrix, `recommend` would take a multiple of it.

    Args:
        version: directory of the export.
        batches: items and behaviours, string tensors, by their number of rows.
        dim: width of the model.
        calls: samples of each.

    Returns:
        samples by name: "recommend to 1", "product and top 10 of 1".
    """
    model = tf.saved_model.load(str(version))  # referenced, or its variables would be collected
    recommend = model.signatures["recommend"]
    count = (version / "assets" / "items.txt").read_bytes().count(b"\n")
    table = tf.Variable(tf.random.stateless_normal([count + 1, dim], [0, 0]))
    product = _product(table)
    jobs = {}
    for rows, (items, behaviors) in batches.items():
        asked = {"items": items, "behaviors": behaviors}
        asked |= {"k": tf.constant(10), "exclude_seen": tf.constant(False)}
        vectors = tf.random.stateless_normal([rows, dim], [0, rows])
        jobs[f"recommend to {rows}"] = lambda asked=asked: recommend(**asked)["scores"].numpy()
        jobs[f"product and top 10 of {rows}"] = lambda vectors=vectors: product(vectors).numpy()
    return in_turns(jobs, calls)


def _product(table):
    @tf.function
    def product(vectors):
        best = tf.math.top_k(tf.matmul(vectors, table, transpose_b=True), min(10, table.shape[0]))
        return best.values

    return product


def in_turns(jobs: dict[str, Callable], calls: int) -> dict[str, list[float]]:
    """Measures milliseconds of every call of every job, in turns, `calls` times each."""
    samples = {name: [] for name in jobs}
    for call in range(calls + 2):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if call >= 2:  # the first ones trace and allocate
                samples[name].append((time.perf_counter() - start) * 1e3)
    return samples


def large_operations(version: Path, request: tuple, dim: int) -> list[str]:
    """Returns the operations of a `recommend` that write something as large as the item matrix.

    These are the executed operations of the graph that TensorFlow has optimised, in a session, as
    in both `hmar serve` and TensorFlow Serving.

    Args:
        version: directory of the export.
        request: items and behaviours of a single history, string arrays.
        dim: width of the model.

    Returns:
        for instance `["Transpose [64, 100001]"]`; none if the matrix is only read.
    """
    size = (version / "assets" / "items.txt").read_bytes().count(b"\n") * dim
    tf.get_logger().setLevel(logging.ERROR)  # hides that what its own server does is deprecated
    graph = tf.Graph()
    with tf.compat.v1.Session(graph=graph) as session:
        with graph.as_default():
            loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(version))
        signature = loaded.signature_def["recommend"]
        given = dict(zip(("items", "behaviors"), request, strict=True))
        given |= {"k": np.int32(10), "exclude_seen": np.bool_(False)}
        options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
        told = tf.compat.v1.RunMetadata()
        session.run(
            signature.outputs["scores"].name,
            {signature.inputs[name].name: value for name, value in given.items()},
            options,
            told,
        )
    outputs = (
        (node, [axis.size for axis in output.tensor_description.shape.dim])
        for device in told.step_stats.dev_stats
        for node in device.node_stats
        for output in node.output
    )
    written = [
        f"{_operation(node)} {shape}"
        for node, shape in outputs
        if math.prod(shape) >= size and _operation(node) not in _READS
    ]
    return sorted(set(written))


def _operation(node):
    """Returns the kind of an executed operation, whose label is "name = Kind(inputs)"."""
    found = _OPERATION.search(node.timeline_label)
    return found.group(1) if found else node.timeline_label
