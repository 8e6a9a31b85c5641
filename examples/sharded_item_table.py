"""An item table sharded over devices under JAX: every device holds a part of it.

The devices share each batch, too; all other weights are on every device. Here, four logical devices
share one CPU, so that the script runs anywhere. On GPUs, leave out `JAX_PLATFORMS` and `XLA_FLAGS`
and list the devices of type `"gpu"`.

    python examples/sharded_item_table.py
"""

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import keras
import numpy as np

from hmar_keras import HMAR, Behaviors, HMARConfig, TrainingConfig, compile_arguments

ITEMS, LENGTH, BATCH, STEPS = 399, 10, 32, 20


# %% Where the table lies
# Its rows, `num_items + 1` or twice `item_buckets`, must be a multiple of the number of devices.
def sharded_item_table(devices):
    """Returns a distribution for `keras.distribution.set_distribution`."""
    # One axis for both: each device has its part of the batch and its part of the table.
    mesh = keras.distribution.DeviceMesh((len(devices),), ["batch"], devices)
    layouts = keras.distribution.LayoutMap(mesh)
    layouts[r"(.*/)?item_table/embeddings"] = ("batch", None)
    return keras.distribution.ModelParallel(
        layout_map=layouts, batch_dim_name="batch", auto_shard_dataset=False
    )


# %% Training
# The same on one device and on four. The distribution must be set before the model is built;
# weights are saved and loaded as without it.
def train():
    """Trains on random histories; returns the model and the loss of each step."""
    keras.utils.set_random_seed(0)
    shop = Behaviors(("view", "buy"), target="buy")
    model = HMAR(HMARConfig(ITEMS, shop, dim=8, max_length=LENGTH, dropout=0.0))
    model.compile(**compile_arguments(model, TrainingConfig(learning_rate=0.02)))
    rng, losses = np.random.default_rng(0), []
    for _ in range(STEPS):
        items, behaviors = (
            rng.integers(1, most, (BATCH, LENGTH + 1)).astype("int32") for most in (ITEMS + 1, 3)
        )
        negatives = rng.integers(1, ITEMS + 1, (BATCH, LENGTH)).astype("int32")
        inputs = {
            "item_ids": items[:, :-1],
            "behavior_ids": behaviors[:, :-1],
            "candidate_ids": np.stack([items[:, 1:], negatives], axis=-1),
        }
        truth = {"ranking": behaviors[:, 1:], "behavior": behaviors[:, 1:]}
        losses.append(float(model.train_on_batch(inputs, truth, return_dict=True)["loss"]))
    return model, losses


def parts(variable):
    """Returns the shapes of the parts of a weight that the devices hold."""
    return [part.data.shape for part in variable.value.addressable_shards]


def main():
    """Trains on one device and on all, and shows what each holds."""
    _, losses_of_one = train()
    devices = keras.distribution.list_devices("cpu")
    keras.distribution.set_distribution(sharded_item_table(devices))
    model, losses = train()
    print(f"{len(devices)} devices, loss {losses[0]:.4f} ... {losses[-1]:.4f}")

    # %% What each device holds
    # The table, its moment and its rows' last steps are sharded; everything else is replicated.
    for variable in (*model.variables, *model.optimizer.variables):
        is_table = "item_table" in variable.path
        rows, *columns = variable.shape or (0,)
        held = (rows // len(devices), *columns) if is_table else tuple(variable.shape)
        assert parts(variable) == [held] * len(devices), variable.path
        if is_table:
            print(f"{held[0]} of {rows} rows on each device: {variable.path}")
    difference = np.abs(np.subtract(losses, losses_of_one)).max()
    assert difference < 1e-4
    print(f"largest difference of a loss from one device: {difference:.1e}")


if __name__ == "__main__":
    main()
