"""Training at Taobao's full size on one GPU under JAX, compared with the plain model.

    python benchmarks/gpu_training.py                        # on one GPU, about four minutes
    python benchmarks/gpu_training.py --scale 0.01 --settings '{"dim": 8}'  # a quick try on a CPU
    python benchmarks/gpu_training.py --json gpu.json --profile profile/
    python benchmarks/gpu_training.py --only device --precisions mixed_bfloat16

Needs Keras, NumPy and JAX with CUDA, but neither TensorFlow nor data. The log is simulated: 147,894
users with histories as long as Taobao's (about 41 of at most 150 events), and 99,037 items, drawn
by Zipf's law. The settings are those of the preset `taobao`. Rows:

- `device`: `model.fit` over batches made on the device, as in `hmar train` on a GPU under JAX.
- `host`: `fit` over batches in the host's memory.
- `program`: no `fit`, an epoch's batches on the device, all steps of a length as one program: the
  least time that the device needs.
- `batches`: the batches of `device`, without a model.
- `plain`: `fit` of the plain model over padded batches in the host's memory.

`speed.py` measures the input pipeline of the host.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
from epoch_clock import EpochClock
from plain_hmar import PlainHMAR, plain_compile_arguments

from hmar_keras import Behaviors, TrainingConfig, compile_arguments
from hmar_keras.schema import ITEM_IDS
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.protocol.splits import EvaluationSet, Splits
from pipelines.runtime.hardware import STEPS_ON_GPU
from pipelines.training.device_batches import DeviceBatches
from pipelines.training.run_config import RunConfig

USERS, ITEMS, MEAN_EVENTS = 147_894, 99_037, 41
BEHAVIORS = Behaviors(("view", "favorite", "cart", "buy"), "buy")
SHARES = (0.89, 0.03, 0.055, 0.025)  # of the behaviours among the events
PLAIN_STEPS = 100  # of an epoch of the plain model, whose batches all have one size
WAYS = ["batches", "host", "device", "program", "plain"]


def simulated(users: int, items: int, max_length: int) -> Splits:
    """Simulates a log with 2 to `max_length + 1` events per user, the last of them only a label."""
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(np.log(MEAN_EVENTS) - 0.35, 0.9, users).astype(int)
    lengths = np.clip(lengths, 1, max_length) + 1
    popularity = 1 / (np.arange(items) + 10.0)
    ids = rng.choice(items, lengths.sum(), p=popularity / popularity.sum()).astype(np.int32) + 1
    drawn = rng.choice(len(SHARES), len(ids), p=SHARES).astype(np.int32) + 1
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    dataset = InteractionDataset(
        name="simulated",
        behaviors=BEHAVIORS,
        repeats=True,
        users=np.arange(users),
        items=np.arange(items),
        offsets=offsets,
        item_ids=ids,
        behavior_ids=drawn,
        timestamps=np.arange(len(ids)),
        held_out_items=np.zeros(users, np.int32),
    )
    nothing = EvaluationSet(*[np.zeros(0, np.int64)] * 4)
    return Splits(dataset, offsets[1:], nothing, nothing)


def on_host(data: DeviceBatches, number: int | None = None) -> list:
    """Returns an epoch's batches, or the first ones, as NumPy arrays."""
    count = data.num_batches if number is None else min(number, data.num_batches)
    return [jax.tree.map(np.asarray, data[index]) for index in range(count)]


def fit_seconds(model: keras.Model, data) -> tuple[float, list[float]]:
    """Measures the seconds of an epoch that also compiles, and of three more."""
    clock = EpochClock(lambda: jax.block_until_ready([v.value for v in model.weights]))
    if isinstance(data, DeviceBatches):
        model.fit(**data.fit_arguments([clock]), epochs=4, verbose=0)
    else:
        batches = (batch for _ in range(5) for batch in data)
        model.fit(batches, epochs=4, steps_per_epoch=len(data), callbacks=[clock], verbose=0)
    return clock.seconds[0], clock.seconds[1:]


def batches_seconds(data: DeviceBatches) -> tuple[float, list[float]]:
    """Measures the seconds of only making an epoch's batches, the first time with compiling."""
    epochs = itertools.count()

    def epoch():
        data.begin(next(epochs))
        jax.block_until_ready([data[index] for index in range(data.num_batches)])

    return seconds_of(epoch, 3)


def program_epoch(model: keras.Model, training: TrainingConfig, batches: list):
    """Returns a function that trains an epoch from batches on the device and returns weights.

    All steps of one shape are one program.
    """
    arguments = compile_arguments(model, training)
    optimizer, losses, weights = (arguments[n] for n in ("optimizer", "loss", "loss_weights"))
    optimizer.build(model.trainable_variables)

    def loss(trained, other, inputs, targets):
        outputs, other = model.stateless_call(trained, other, inputs, training=True)
        parts = [weights[name] * losses[name](targets[name], outputs[name]) for name in losses]
        return sum(parts), other

    def step(state, both):
        trained, other, moments = state
        (value, other), gradients = jax.value_and_grad(loss, has_aux=True)(trained, other, *both)
        trained, moments = optimizer.stateless_apply(moments, gradients, trained)
        return (trained, other, moments), value

    steps = jax.jit(lambda state, data: jax.lax.scan(step, state, data), donate_argnums=0)
    by_shape: dict[tuple, list] = {}
    for each in batches:
        by_shape.setdefault(each[0][ITEM_IDS].shape, []).append(each)
    held = [
        jax.device_put(jax.tree.map(lambda *parts: np.stack(parts), *found))
        for found in by_shape.values()
    ]
    groups = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    # Copies, because the first epoch donates the memory of its arguments.
    state = tuple([v.value + 0 for v in group] for group in groups)

    def epoch():
        nonlocal state
        for data in held:
            state, values = steps(state, data)
        jax.block_until_ready((state, values))
        return state[0]

    return epoch


def seconds_of(function, repeats: int) -> tuple[float, list[float]]:
    """Measures the seconds of the first call, which compiles, and of the others."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times[0], times[1:]


def row(name: str, users: int, steps: int, first: float, seconds: list[float], share=1.0) -> dict:
    """Returns a row of the table; `share` is the part of an epoch that was run."""
    median = statistics.median(seconds)
    return {
        "name": name,
        "steps/s": steps / median,
        "ms a step": 1e3 * median / steps,
        "sequences/s": users * share / median,
        "seconds an epoch": median / share,
        "first epoch, with compiling": first / share,
        "spread": [min(seconds) / share, max(seconds) / share],
    }


def kernels(path: Path) -> list[tuple[str, float]]:
    """Returns what the device spent its time on in a profile: names and shares, longest first."""
    totals: dict[str, float] = {}
    for file in path.rglob("*.xplane.pb"):
        for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
            if "/device:GPU" not in plane.name:
                continue
            for line in plane.lines:
                if line.name.startswith("Stream"):
                    for event in line.events:
                        totals[event.name] = totals.get(event.name, 0.0) + event.duration_ns
    whole = sum(totals.values()) or 1.0
    return sorted(((n, t / whole) for n, t in totals.items()), key=lambda item: -item[1])


def measure(options: argparse.Namespace) -> dict:
    """Measures all rows, and the top kernels of the profile."""
    items, users = (max(100, round(size * options.scale)) for size in (ITEMS, USERS))
    config = RunConfig.preset("taobao", items, BEHAVIORS, **json.loads(options.settings))
    training = config.training
    splits = simulated(users, items, config.model.max_length)
    device = jax.devices()[0]
    mean = splits.dataset.num_events / users - 1
    print(f"{device.device_kind}: {users:,} users of {mean:.1f} events, {items:,} items")
    data = DeviceBatches(splits, config.build_model(), training, seed=0)
    rows, found = [], []

    def add(name, *numbers, **share):
        rows.append(row(name, users, *numbers, **share))
        print({key: _short(value) for key, value in rows[-1].items()}, flush=True)

    if "batches" in options.only:
        add("batches", data.num_batches, *batches_seconds(data))
    for precision in options.precisions:
        for way in ("host", "device"):
            if way in options.only:
                keras.utils.set_random_seed(0)
                model = config.build_model(precision)
                steps = data.steps_per_execution(STEPS_ON_GPU) if way == "device" else 1
                arguments = compile_arguments(model, training)
                model.compile(**arguments, steps_per_execution=steps)
                fed = data if way == "device" else on_host(data)
                add(f"{way}, {precision}", data.num_batches, *fit_seconds(model, fed))
        if "program" in options.only:
            model = config.build_model(precision)
            epoch = program_epoch(model, training, on_host(data))
            add(f"program, {precision}", data.num_batches, *seconds_of(epoch, 3))
            if options.profile:
                with jax.profiler.trace(options.profile):
                    epoch()
                found = kernels(Path(options.profile))[:15]
                for name, share in found:
                    print(f"{share:6.1%}  {name[:100]}")
    if "plain" in options.only:
        plain = PlainHMAR(config.model)
        plain.compile(**plain_compile_arguments(plain, training))
        padded = DeviceBatches(splits, plain, training.replace(batching="mixed"), seed=0)
        some = on_host(padded, PLAIN_STEPS)
        share = len(some) / padded.num_batches
        add("plain, float32", len(some), *fit_seconds(plain, some), share=share)
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**30
    print(f"peak on the device: {peak:.2f} GiB")
    return {"rows": rows, "kernels": found, "peak_gib": peak, "device": device.device_kind}


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else value


def main() -> None:
    """Measures, prints, and writes JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the users and items")
    parser.add_argument("--settings", default="{}", help="JSON of settings to change")
    parser.add_argument("--only", nargs="+", choices=WAYS, default=WAYS, help="rows to measure")
    parser.add_argument("--precisions", nargs="+", default=["float32", "mixed_bfloat16"])
    parser.add_argument("--profile", help="folder for a profile of an epoch of `program`")
    parser.add_argument("--json", help="file for the numbers")
    options = parser.parse_args()
    results = measure(options)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
