"""Computations whose form depends on the backend or is chosen for its speed, each a function.

Both forms of a function give the same values and gradients. TensorFlow runs its operations one by
one on a CPU, where products of exactly the size that is needed win; a compiler (XLA, so JAX too)
needs shapes that do not depend on the data, and a GPU prefers one large product to many small ones.
"""

from __future__ import annotations

import contextlib
import functools
import math

import keras
from keras import ops


def behavior_matmul(inputs, kernel, behavior_ids):
    """y_t = x_t W^b with b the behaviour of row t, and 0 where there is none.

    Args:
        inputs: float `[batch, length, dim]`.
        kernel: float `[K, dim, units]`.
        behavior_ids: int `[batch, length]`, from 1; 0 for padding.

    Returns:
        float `[batch, length, units]`.
    """
    batch, length, dim = ops.shape(inputs)
    units = kernel.shape[-1]
    kernel = ops.reshape(kernel, kernel.shape)  # of a variable its value
    rows, ids = ops.reshape(inputs, (-1, dim)), ops.reshape(behavior_ids, (-1,))
    form = partitioned_matmul if sizes_may_vary(rows) else block_matmul
    return ops.reshape(form(rows, kernel, ids), (batch, length, units))


def block_matmul(rows, kernel, ids):
    """`behavior_matmul` of rows `[rows, dim]` as one product, K times the multiplications.

    x_t is written into block b of a row of K blocks, the rest zero, and the K kernels stand below
    each other.
    """
    num_behaviors, dim, units = kernel.shape
    one_hot = ops.one_hot(ids, num_behaviors + 1, dtype=rows.dtype)[:, 1:]
    blocks = ops.reshape(one_hot[:, :, None] * rows[:, None, :], (-1, num_behaviors * dim))
    return ops.matmul(blocks, ops.reshape(kernel, (num_behaviors * dim, units)))


def partitioned_matmul(rows, kernel, ids):
    """`behavior_matmul` of rows `[rows, dim]` as one product a behaviour, over its rows alone.

    The rows are sorted by behaviour, so that each behaviour's are a slice, and put back.
    """
    num_behaviors = kernel.shape[0]
    order = ops.argsort(ids)
    places = ops.argsort(order)  # where each row went
    sizes = ops.sum(ops.cast(ops.equal(ids[:, None], ops.arange(num_behaviors + 1)), "int32"), 0)
    ends = ops.cumsum(sizes)
    slices = [(ends[b], ends[b + 1]) for b in range(num_behaviors)]

    # Written out because the gradient of a gather is a scatter, which is far slower than the
    # gather that it is for a permutation, and the gradient of a slice is as large as the whole.
    @ops.custom_gradient
    def product(rows, kernel):
        ordered = ops.take(rows, order, axis=0)
        parts = [ordered[start:end] for start, end in slices]
        padding = ops.zeros((sizes[0], kernel.shape[-1]), rows.dtype)
        outputs = [ops.matmul(part, kernel[b]) for b, part in enumerate(parts)]
        outputs = ops.take(ops.concatenate([padding, *outputs]), places, axis=0)

        def gradient(upstream):
            ordered = ops.take(upstream, order, axis=0)
            padding = ops.zeros((sizes[0], kernel.shape[1]), rows.dtype)
            upstreams = [ordered[start:end] for start, end in slices]
            to_rows = [
                ops.matmul(part, ops.transpose(kernel[b])) for b, part in enumerate(upstreams)
            ]
            to_kernel = [
                ops.matmul(ops.transpose(part), above)
                for part, above in zip(parts, upstreams, strict=True)
            ]
            to_rows = ops.take(ops.concatenate([padding, *to_rows]), places, axis=0)
            return to_rows, ops.stack(to_kernel)

        return outputs, gradient

    return product(rows, kernel)


def masked_attention(query, key, value, mask):
    """softmax(Q K^T / sqrt(dim)) V, where a query sees the keys that its mask shows.

    Args:
        query: float `[batch, length, heads, dim]`.
        key: as `query`.
        value: as `query`.
        mask: bool `[batch, query, key]`.

    Returns:
        float `[batch, length, heads, dim]`; finite but meaningless for a query that sees nothing.
    """
    if keras.backend.backend() == "tensorflow":
        # It has no fused attention, and its form of `dot_product_attention` is slower than this.
        return plain_attention(query, key, value, mask)
    return ops.dot_product_attention(query, key, value, mask=mask[:, None])


def plain_attention(query, key, value, mask):
    """`masked_attention` by two matrix products."""
    dtype, dim = query.dtype, query.shape[-1]
    query, key, value = (_swap_heads(x) for x in (query, key, value))
    scores = ops.matmul(query * (1 / math.sqrt(dim)), ops.transpose(key, (0, 1, 3, 2)))
    # In half precision the sum of a long row would lose its last digits.
    scores = ops.cast(scores, "float32") + ops.where(mask[:, None], 0.0, -1e9)
    # Keras warns of a softmax over a single score.
    weights = ops.softmax(scores) if scores.shape[-1] != 1 else ops.ones_like(scores)
    attended = ops.matmul(ops.cast(weights, dtype), value)
    return _swap_heads(attended)


def _swap_heads(x):
    """Swaps the second and third axis, which costs nothing where one of them is a single head."""
    first, second, third, fourth = ops.shape(x)
    if x.shape[1] == 1 or x.shape[2] == 1:
        return ops.reshape(x, (first, third, second, fourth))
    return ops.transpose(x, (0, 2, 1, 3))


_portable = False


@contextlib.contextmanager
def portable_kernels():
    """Inside, every form is one for any device: for graphs that will run somewhere else."""
    global _portable
    before, _portable = _portable, True
    try:
        yield
    finally:
        _portable = before


def take_rows(variable, rows):
    """Rows of a weight, without reading all of it where that can be had.

    Args:
        variable: a backend's variable or array, `[count, ...]`.
        rows: int `[...]`.
    """
    try:
        return variable.sparse_read(rows)  # a TensorFlow variable
    except AttributeError:  # other backends, and TensorFlow's mirrored variables
        return ops.take(variable, rows, axis=0)


def sizes_may_vary(tensor):
    """Whether `tensor` is computed by TensorFlow on CPUs, operation by operation."""
    return (
        keras.backend.backend() == "tensorflow"
        and not _portable
        and not _has_accelerator()
        and not _in_xla(tensor)
    )


@functools.cache
def _has_accelerator():
    return any(keras.distribution.list_devices(kind) for kind in ("gpu", "tpu"))


def _in_xla(tensor):
    """Whether `tensor` is traced by TensorFlow for a function with `jit_compile=True`."""
    graph = getattr(tensor, "graph", None)
    while graph is not None:
        context = graph._get_control_flow_context()
        if context is not None and context.IsXLAContext():
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


def last_steps(states, candidates):
    """The states that the candidates belong to: the last `steps` of `[batch, length, dim]`.

    `candidates` is anything whose second axis is `steps`.
    """
    batch, length, dim = ops.shape(states)
    steps = ops.shape(candidates)[1]
    # Not by indexing: on TensorFlow the gradient of that is several times slower.
    return ops.slice(states, (0, length - steps, 0), (batch, steps, dim))
