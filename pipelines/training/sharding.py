"""An item table that is spread over devices, on JAX."""

from __future__ import annotations

import keras

_TABLE = r"(.*/)?item_table/embeddings"  # the path of the table
_AXIS = "batch"


def sharded_item_table(rows: int, devices: list[str] | None = None):
    """A distribution in which every device holds a part of the item table and of its moments.

    The devices share each batch, too; all other weights are on every device. For
    `keras.distribution.set_distribution`, before the model is made. Weights are saved and loaded
    as without it.

    Args:
        rows: of the item table, a multiple of the number of devices: `num_items + 1`, or twice
            `item_buckets`.
        devices: as `keras.distribution.list_devices` names them, by default all of them.

    Raises:
        ValueError: on another backend than JAX, or if `rows` cannot be divided evenly.
    """
    if keras.backend.backend() != "jax":
        raise ValueError("an item table is spread over devices on the JAX backend alone.")
    devices = devices or keras.distribution.list_devices()
    if rows % len(devices):
        raise ValueError(
            f"{rows} rows of the item table are no multiple of {len(devices)} devices; "
            "use a multiple in item_buckets, or other devices."
        )
    # One axis for both: each device has its part of the batch and its part of the table.
    layouts = keras.distribution.LayoutMap(
        keras.distribution.DeviceMesh((len(devices),), [_AXIS], devices)
    )
    layouts[_TABLE] = (_AXIS, None)
    return keras.distribution.ModelParallel(
        layout_map=layouts, batch_dim_name=_AXIS, auto_shard_dataset=False
    )
