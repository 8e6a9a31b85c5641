"""Computations whose form depends on the backend or is chosen for speed, one function each.

Both forms of a function give the same values and gradients. On a CPU, TensorFlow runs operations
one by one, and products of exactly the required size are fastest. A compiler (XLA, and so JAX)
needs shapes that do not depend on the data, and a GPU prefers one large product to many small ones.
"""

from __future__ import annotations

import contextlib
import functools
import math

import keras
from keras import ops


def behavior_groups(inputs, behavior_ids):
    """Groups positions for products with one kernel per behaviour.

    Args:
        inputs: float `[batch, length, dim]`; the form depends on where it is computed.
        behavior_ids: int `[batch, length]`, from 1; 0 for padding.

    Returns:
        an object whose `rows(inputs)` returns grouped `[rows, dim]`, whose
        `matmul(rows, kernel, bias)` can then be applied any number of times, and whose
        `positions(rows)` returns `[batch, length, dim]` again.
    """
    form = SortedGroups if sizes_may_vary(inputs) else BlockGroups
    return form(behavior_ids)


class BlockGroups:
    """Rows in the order of the positions; one product with K times the multiplications."""

    def __init__(self, behavior_ids) -> None:
        self._shape = ops.shape(behavior_ids)
        self._ids = ops.reshape(behavior_ids, (-1,))

    def rows(self, inputs):
        """Reshapes `[batch, length, dim]` to `[rows, dim]`."""
        return ops.reshape(inputs, (-1, inputs.shape[-1]))

    def positions(self, rows):
        """Reshapes `[rows, dim]` to `[batch, length, dim]`."""
        return ops.reshape(rows, (*self._shape, rows.shape[-1]))

    def matmul(self, rows, kernel, bias=None):
        """Computes y_t = x_t W^b + B^b with b the behaviour of row t, and 0 for padding.

        x_t becomes block b of a row of K blocks, the rest zero, and the K kernels are stacked on
        top of each other.

        Args:
            rows: float `[rows, dim]`.
            kernel: float `[K, dim, units]`.
            bias: float `[K, units]`, or None.

        Returns:
            float `[rows, units]`.
        """
        count, dim, units = kernel.shape
        one_hot = ops.one_hot(self._ids, count + 1, dtype=rows.dtype)[:, 1:]
        blocks = ops.reshape(one_hot[:, :, None] * rows[:, None, :], (-1, count * dim))
        outputs = ops.matmul(blocks, ops.reshape(kernel, (count * dim, units)))
        return outputs if bias is None else outputs + ops.matmul(one_hot, bias)


class SortedGroups:
    """Rows sorted by behaviour, so that each behaviour is a slice with its own product.

    The gradients are written out. By default, the gradient of a gather is a scatter, which is far
    slower than the gather that suffices for a permutation, and the gradient of a slice is as large
    as the whole array.
    """

    def __init__(self, behavior_ids) -> None:
        self._shape = ops.shape(behavior_ids)
        self._ids = ops.reshape(behavior_ids, (-1,))
        self._order = ops.argsort(self._ids)
        self._places = ops.argsort(self._order)  # where each row went

    def rows(self, inputs):
        """Sorts `[batch, length, dim]` into `[rows, dim]`; padding comes first."""
        return _permute(ops.reshape(inputs, (-1, inputs.shape[-1])), self._order, self._places)

    def positions(self, rows):
        """Puts sorted `[rows, dim]` back into `[batch, length, dim]`."""
        rows = _permute(rows, self._places, self._order)
        return ops.reshape(rows, (*self._shape, rows.shape[-1]))

    def matmul(self, rows, kernel, bias=None):
        """Computes y_t = x_t W^b + B^b as in `BlockGroups.matmul`, with one product per slice."""
        count, dim, units = kernel.shape
        behaviors = range(count)
        same = ops.equal(self._ids[:, None], ops.arange(count + 1, dtype=self._ids.dtype))
        ends = ops.cumsum(ops.sum(ops.cast(same, "int32"), axis=0))

        def parts(rows):
            return [rows[ends[b] : ends[b + 1]] for b in behaviors]

        def whole(parts, width):
            return ops.concatenate([ops.zeros((ends[0], width), rows.dtype), *parts])

        @ops.custom_gradient
        def product(rows, kernel, *bias):
            inputs = parts(rows)
            outputs = [ops.matmul(inputs[b], kernel[b]) for b in behaviors]
            if bias:
                outputs = [outputs[b] + bias[0][b] for b in behaviors]

            def gradient(upstream):
                above = parts(upstream)
                to_rows = [ops.matmul(above[b], ops.transpose(kernel[b])) for b in behaviors]
                to_kernel = [ops.matmul(ops.transpose(inputs[b]), above[b]) for b in behaviors]
                found = whole(to_rows, dim), ops.stack(to_kernel)
                if bias:
                    found += (ops.stack([ops.sum(above[b], axis=0) for b in behaviors]),)
                return found

            return whole(outputs, units), gradient

        return product(rows, kernel) if bias is None else product(rows, kernel, bias)


@ops.custom_gradient
def _permute(rows, order, places):
    """Returns `rows[order]`; `places` is the inverse of `order`."""

    def gradient(upstream):
        return ops.take(upstream, places, axis=0), None, None

    return ops.take(rows, order, axis=0), gradient


def at_every_position(layer, inputs):
    """Applies a layer to all positions as the rows of one matrix.

    On TensorFlow, the product, bias and activation of a dense layer are then one operation.

    Args:
        layer: maps `[rows, dim]` to `[rows, units]`.
        inputs: float `[..., dim]`.

    Returns:
        `[..., units]`.
    """
    rows = layer(ops.reshape(inputs, (-1, inputs.shape[-1])))
    return ops.reshape(rows, (*ops.shape(inputs)[:-1], rows.shape[-1]))


def values_of_behaviors(values, behavior_ids):
    """Looks up the value of each position's behaviour.

    Avoids a gather, whose gradient is a scatter, and a matrix product, which GPUs may round.

    Args:
        values: float `[K]`, in the order of the behaviour ids.
        behavior_ids: int `[batch, length]`, from 1; 0 for padding.

    Returns:
        `[batch, length]`, of the type of `values`; 0 at padding.
    """
    one_hot = ops.one_hot(behavior_ids, values.shape[0] + 1, dtype=values.dtype)[..., 1:]
    return ops.sum(one_hot * values, axis=-1)


def dot_candidates(states, items):
    """Computes the products z . v of each state with its own candidates.

    Args:
        states: float `[batch, steps, dim]`.
        items: float `[batch, steps, candidates, dim]`.

    Returns:
        float `[batch, steps, candidates]`.
    """
    if sizes_may_vary(items):
        return _dot_by_element(states, items)
    return ops.einsum("bsd,bscd->bsc", states, items)


@ops.custom_gradient
def _dot_by_element(states, items):
    """Computes `dot_candidates` without small matrix products, which are mostly overhead."""

    def gradient(upstream):
        upstream = upstream[..., None]
        return ops.sum(upstream * items, axis=2), upstream * states[:, :, None]

    return ops.sum(states[:, :, None] * items, axis=-1), gradient


def masked_attention(query, key, value, mask):
    """Computes softmax(Q K^T / sqrt(dim)) V, where a query sees the keys that its mask allows.

    Args:
        query: float `[batch, length, heads, dim]`.
        key: as `query`.
        value: as `query`.
        mask: bool `[batch, query, key]`.

    Returns:
        float `[batch, length, heads, dim]`; finite but meaningless for a query that sees nothing.
    """
    if keras.backend.backend() == "tensorflow":
        # It has no fused attention, and Keras's `dot_product_attention` on it is slower than this.
        return plain_attention(query, key, value, mask)
    return ops.dot_product_attention(query, key, value, mask=mask[:, None])


def plain_attention(query, key, value, mask):
    """Computes `masked_attention` with two matrix products."""
    dtype, dim = query.dtype, query.shape[-1]
    query, key, value = (_swap_heads(x) for x in (query, key, value))
    scores = _dot_keys(query * (1 / math.sqrt(dim)), key)
    # In float32, because in half precision the sum of a long row loses its last digits.
    # Faster than `where`, which has to broadcast two scalars.
    scores = ops.cast(scores, "float32") + (ops.cast(mask[:, None], "float32") - 1) * 1e9
    # Keras warns about a softmax over a single score.
    weights = ops.softmax(scores) if scores.shape[-1] != 1 else ops.ones_like(scores)
    attended = ops.matmul(ops.cast(weights, dtype), value)
    return _swap_heads(attended)


@ops.custom_gradient
def _dot_keys(query, key):
    """Computes Q K^T of `[batch, heads, length, dim]`.

    The gradient is written out because TensorFlow's own keeps a transposed K and transposes the
    gradient of it. Here each transpose only changes the order in which a product reads its input.
    """

    def gradient(*arguments, upstream=None):
        if upstream is None:  # on PyTorch, Keras passes it by name, after the inputs
            (upstream,) = arguments
        return ops.matmul(upstream, key), ops.matmul(_transposed(upstream), query)

    return ops.matmul(query, _transposed(key)), gradient


def _transposed(matrices):
    return ops.transpose(matrices, (0, 1, 3, 2))


def _swap_heads(x):
    """Swaps the second and third axis, at no cost if one of them has length 1."""
    first, second, third, fourth = ops.shape(x)
    if x.shape[1] == 1 or x.shape[2] == 1:
        return ops.reshape(x, (first, third, second, fourth))
    return ops.transpose(x, (0, 2, 1, 3))


_portable = False


@contextlib.contextmanager
def portable_kernels():
    """Selects, inside the block, the forms that run on any device, for graphs to be exported."""
    global _portable
    before, _portable = _portable, True
    try:
        yield
    finally:
        _portable = before


def take_rows(variable, rows):
    """Returns rows of a weight, without reading all of it where the backend allows.

    Args:
        variable: a backend's variable or array, `[count, ...]`.
        rows: int `[...]`.
    """
    try:
        return variable.sparse_read(rows)  # a TensorFlow variable
    except AttributeError:  # other backends, and TensorFlow's mirrored variables
        return ops.take(variable, rows, axis=0)


def sizes_may_vary(tensor):
    """Returns whether TensorFlow computes `tensor` on CPUs, operation by operation."""
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
    """Returns whether TensorFlow traces `tensor` for a function with `jit_compile=True`."""
    graph = getattr(tensor, "graph", None)
    while graph is not None:
        context = graph._get_control_flow_context()
        if context is not None and context.IsXLAContext():
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


def last_steps(states, candidates):
    """Returns the states that candidates belong to: the last `steps` of `[batch, length, dim]`.

    `candidates` is any tensor whose second axis is `steps`.
    """
    batch, length, dim = ops.shape(states)
    steps = ops.shape(candidates)[1]
    # Not by indexing, because its gradient is several times slower on TensorFlow.
    return ops.slice(states, (0, length - steps, 0), (batch, steps, dim))


def scores_shape(candidate_ids_shape, negative_ids_shape=None):
    """Returns the shape of the scores of candidates, followed by negatives that all steps share.

    Args:
        candidate_ids_shape: `[batch, steps, candidates]`.
        negative_ids_shape: `[batch, negatives]`, or None for no negatives.

    Returns:
        `[batch, steps, candidates + negatives]`, None where unknown.
    """
    widths = [candidate_ids_shape[2], negative_ids_shape[1] if negative_ids_shape else 0]
    return (*candidate_ids_shape[:2], None if None in widths else sum(widths))


def scatter_rows(table, columns, values, reduction=None):
    """Writes values at columns of each row.

    Args:
        table: float `[batch, width]`.
        columns: int `[batch, n]`.
        values: float `[batch, n]`.
        reduction: None to replace what is there, `"add"` to add to it.

    Returns:
        `[batch, width]`.
    """
    rows = ops.broadcast_to(ops.arange(ops.shape(columns)[0])[:, None], ops.shape(columns))
    where = ops.reshape(ops.stack([rows, columns], axis=-1), (-1, 2))
    return ops.scatter_update(table, where, ops.reshape(values, (-1,)), reduction=reduction)
