"""Training at Taobao's full size on one GPU under JAX, against the plain model on the same GPU.

    python benchmarks/gpu_training.py                        # on one GPU, about four minutes
    python benchmarks/gpu_training.py --scale 0.01 --settings '{"dim": 8}'   # a try on a CPU
    python benchmarks/gpu_training.py --json gpu.json --profile profile/

Needs keras, numpy and JAX with CUDA, but neither TensorFlow nor data: 147,894 users whose histories
are as long as the log's (about 41 of at most 150 events) and 99,037 items, ids drawn by Zipf's law,
batches in memory, the preset `taobao`. Measured are `model.fit` over batches that come from the
host, as in `hmar train`, and an epoch whose batches wait on the device; `speed.py` measures the
input pipeline.
"""

from __future__ import annotations

import argparse
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

from hmar_keras import HMAR, Behaviors, HMARConfig, compile_arguments
from hmar_keras.schema import BEHAVIOR, BEHAVIOR_IDS, CANDIDATE_IDS, ITEM_IDS, RANKING

USERS, ITEMS, MEAN_EVENTS = 147_894, 99_037, 41
BEHAVIORS = Behaviors(("view", "favorite", "cart", "buy"), "buy")
SHARES = (0.89, 0.03, 0.055, 0.025)  # of the behaviours among the events
PLAIN_STEPS = 100  # of an epoch of the plain model; all its batches are of one size


def histories(users: int, items: int, max_length: int) -> list[np.ndarray]:
    """Item ids of every user, the last one only a target; 2 to `max_length + 1` events."""
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(np.log(MEAN_EVENTS) - 0.35, 0.9, users).astype(int)
    lengths = np.clip(lengths, 1, max_length) + 1
    popularity = 1 / (np.arange(items) + 10.0)
    ids = rng.choice(items, lengths.sum(), p=popularity / popularity.sum()).astype(np.int32) + 1
    return np.split(ids, np.cumsum(lengths)[:-1])


def batch(rows: list[np.ndarray], length: int, items: int, rng) -> tuple[dict, dict]:
    """Inputs and targets as `pipelines.input_pipeline.TrainingData` gives them."""
    events = np.zeros((len(rows), length + 1), np.int32)
    for row, ids in zip(events, rows, strict=True):
        row[length + 1 - len(ids) :] = ids
    drawn = rng.choice(len(SHARES), events.shape, p=SHARES).astype(np.int32) + 1
    behaviors = np.where(events > 0, drawn, 0)
    negatives = rng.integers(1, items + 1, (len(rows), length), dtype=np.int32)
    inputs = {
        ITEM_IDS: events[:, :-1],
        BEHAVIOR_IDS: behaviors[:, :-1],
        CANDIDATE_IDS: np.stack([events[:, 1:], negatives], axis=-1),
    }
    following = np.where(events[:, :-1] > 0, behaviors[:, 1:], 0)
    return inputs, {RANKING: following, BEHAVIOR: following}


def epoch_by_length(users: list[np.ndarray], lengths: list[int], config, rng) -> dict[int, list]:
    """An epoch's batches by padded length: about as many events each as `batch_size` users have.

    Cut as `pipelines.batches` does, which needs TensorFlow.
    """
    needed = np.array([len(ids) - 1 for ids in users])
    padded = np.array(lengths)[np.searchsorted(lengths, needed)]
    budget = config.batch_size * padded.mean()
    batches = {}
    for length in lengths:
        own = rng.permutation(np.flatnonzero(padded == length))
        size = max(1, round(budget / length))
        # The last one is filled up with users of the first, so that a length has one size.
        own = np.resize(own, -(-len(own) // size) * size) if len(own) else own
        rows = [[users[user] for user in own[n : n + size]] for n in range(0, len(own), size)]
        batches[length] = [batch(each, length, config.num_items, rng) for each in rows]
    return {length: found for length, found in batches.items() if found}


def fit_seconds(model: keras.Model, batches: list) -> tuple[float, list[float]]:
    """Seconds of an epoch that also compiles, and of two more."""
    clock = EpochClock(lambda: jax.block_until_ready([v.value for v in model.weights]))
    order = np.random.default_rng(1).permutation(len(batches))
    data = (batches[number] for _ in range(3) for number in order)
    model.fit(data, epochs=3, steps_per_epoch=len(batches), callbacks=[clock], verbose=0)
    return clock.seconds[0], clock.seconds[1:]


def resident_epoch(model: keras.Model, batches: dict[int, list]):
    """A function that trains an epoch from batches on the device, and returns the weights.

    All steps of one length are one program.
    """
    arguments = compile_arguments(model.config)
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
    held = [
        jax.device_put(jax.tree.map(lambda *parts: np.stack(parts), *found))
        for found in batches.values()
    ]
    groups = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    # Copies, because the first epoch gives its arguments' memory away.
    state = tuple([v.value + 0 for v in group] for group in groups)

    def epoch():
        nonlocal state
        for data in held:
            state, values = steps(state, data)
        jax.block_until_ready((state, values))
        return state[0]

    return epoch


def seconds_of(function, repeats: int) -> tuple[float, list[float]]:
    """Of the first call, which compiles, and of the others."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times[0], times[1:]


def row(name: str, users: int, steps: int, first: float, seconds: list[float], share=1.0) -> dict:
    """A line of the table; `share` is how much of an epoch was run."""
    median = statistics.median(seconds)
    return {
        "name": name,
        "steps/s": steps / median,
        "ms a step": 1e3 * median / steps,
        "sequences/s": users * share / median,
        "seconds an epoch": median / share,
        "first epoch, with compiling": first,
        "spread": [min(seconds), max(seconds)],
    }


def kernels(path: Path) -> list[tuple[str, float]]:
    """What the device spent its time on in a profile: names and shares, longest first."""
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
    """All lines, and the profile's top items."""
    rng = np.random.default_rng(2)
    items, users = (max(100, round(size * options.scale)) for size in (ITEMS, USERS))
    config = HMARConfig.preset("taobao", items, BEHAVIORS, **json.loads(options.settings))
    ids = histories(users, items, config.max_length)
    events = sum(len(each) - 1 for each in ids) / users
    device = jax.devices()[0]
    print(f"{device.device_kind}: {users:,} users of {events:.1f} events, {items:,} items")
    lengths = [n for n in options.lengths if n < config.max_length] + [config.max_length]
    by_length = epoch_by_length(ids, lengths, config, rng)
    batches = [each for found in by_length.values() for each in found]
    rows = []

    def add(name, *numbers, **share):
        rows.append(row(name, users, *numbers, **share))
        print({key: _short(value) for key, value in rows[-1].items()}, flush=True)

    for precision in options.precisions:
        keras.utils.set_random_seed(0)
        model = HMAR(config, dtype=precision)
        model.compile(**compile_arguments(config))
        add(f"fit, {precision}", len(batches), *fit_seconds(model, batches))
        epoch = resident_epoch(HMAR(config, dtype=precision), by_length)
        add(f"resident, {precision}", len(batches), *seconds_of(epoch, 3))
    found = []
    if options.profile:
        with jax.profiler.trace(options.profile):
            epoch()
        found = kernels(Path(options.profile))[:15]
        for name, share in found:
            print(f"{share:6.1%}  {name[:100]}")
    steps = -(-users // config.batch_size)
    taken = min(PLAIN_STEPS, steps)
    some = [
        batch(ids[n * config.batch_size :][: config.batch_size], config.max_length, items, rng)
        for n in range(taken)
    ]
    plain = PlainHMAR(config)
    plain.compile(**plain_compile_arguments(config))
    add("plain: fit, float32", taken, *fit_seconds(plain, some), share=taken / steps)
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**30
    print(f"peak on the device: {peak:.2f} GiB")
    return {"rows": rows, "kernels": found, "peak_gib": peak, "device": device.device_kind}


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else value


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the users and items")
    parser.add_argument("--settings", default="{}", help="JSON, what differs from the preset")
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--precisions", nargs="+", default=["float32", "mixed_bfloat16"])
    parser.add_argument("--profile", help="folder for a profile of one resident epoch")
    parser.add_argument("--json", help="file for the numbers")
    options = parser.parse_args()
    results = measure(options)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
