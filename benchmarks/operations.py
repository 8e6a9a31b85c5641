"""Where a step's time goes, operation by operation, from TensorFlow's profiler."""

from __future__ import annotations

import collections
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

_OPERATION = re.compile(r"^([\w./-]+):_?(?:Mkl)?(?:Native)?([A-Z]\w*)$")  # "layer/MatMul:MatMul"
_OPTIMIZER = re.compile(r"^(\w*adam\w*)/")
_KINDS = {
    "matrix products": r"(Fused)?MatMul$",
    "batched products": r"BatchMatMul|Einsum",
    "random numbers": r".*Random|.*Rng|.*Skip",
    "rows looked up and summed": r".*Gather|.*Segment|.*Scatter|Unique|ResourceSparse",
    "softmax": r"(Log)?Softmax",
    "moving": r"Concat|Split|.*Slice$|StridedSlice|Pack|Pad|Transpose|Tile|.*Copy|Bitcast|Snapshot",
    "sorting": r"TopK|Sort|ArgSort|Cumsum",
}
_ELSE = "elementwise and sums"


def operation_times(function: Callable, calls: Iterable) -> dict[str, float]:
    """Measures milliseconds per call in operations of each kind, added up over all threads.

    Args:
        function: the function to profile.
        calls: the tuples of arguments that it is called with.
    """
    calls = list(calls)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for arguments in calls:
            function(*arguments)
        tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        (path,) = Path(folder).rglob("*.xplane.pb")
        space.ParseFromString(path.read_bytes())
    totals = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for name, picoseconds in own_times(_operations(plane, line)):
                totals[kind(name)] += picoseconds / 1e9 / len(calls)
    return dict(totals.most_common())


def kind(name: str) -> str:
    """Returns the kind of an operation that the profiler names `"path/of/node:Operation"`."""
    path, operation = _OPERATION.match(name).groups()
    if _OPTIMIZER.match(path):
        return "optimiser"
    for name, pattern in _KINDS.items():
        if re.match(pattern, operation):
            return name
    return _ELSE


def _operations(plane, line):
    """Returns (start, duration, name) of a thread's operations, by start, outer before inner."""
    events = [
        (event.offset_ps, event.duration_ps, plane.event_metadata[event.metadata_id].name)
        for event in line.events
    ]
    events = [event for event in events if _OPERATION.match(event[2])]
    return sorted(events, key=lambda event: (event[0], -event[1]))


def own_times(events):
    """Returns (name, duration) of each event without the events inside it."""
    own = [duration for _, duration, _ in events]
    open_events = []
    for place, (start, duration, _) in enumerate(events):
        while open_events and open_events[-1][0] <= start:
            open_events.pop()
        if open_events:
            own[open_events[-1][1]] -= duration
        open_events.append((start + duration, place))
    return [(name, own[place]) for place, (_, _, name) in enumerate(events)]
