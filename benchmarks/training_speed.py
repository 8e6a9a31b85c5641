"""Speed and memory of training; see `speed.py` for the sections."""

from __future__ import annotations

import time

import keras
import workload
from epoch_clock import EpochClock
from machine import machine_of
from measuring import Limit, Row, interleaved, peak_memory
from operations import operation_times
from roofline import Counts, Floors, training_work
from step_parts import NoOptimizer, StepParts
from workload import SEED, Size

from hmar_keras.training_config import OPTIMIZERS
from pipelines.protocol.splits import split
from pipelines.training.host_batches import TrainingData
from pipelines.training.run_config import RunConfig

FIFTH, SEVENTH = Limit("ratio", most=1 / 5), Limit("ratio", most=1 / 7)
MOST_MEMORY = Limit("median", most=1.5)


def step(size: Size) -> list[Row]:
    """Measures the bare training step on batches in memory."""
    splits, config = workload.load(size)
    fast_model, plain_model = workload.fast_model(config), workload.plain_model(config)
    plain_training = workload.plain_training(config)
    fast_batches = workload.batches(splits, fast_model, config.training, size.steps)
    plain_batches = workload.batches(splits, plain_model, plain_training, size.plain_steps)
    fast = workload.train_step(fast_model, fast_batches[0])
    plain = workload.train_step(plain_model, plain_batches[0])
    times = interleaved(
        size.repeats,
        {"fast": (fast, _calls(fast_batches)), "plain": (plain, _calls(plain_batches))},
    )
    plain = Row("plain: train_step", "ms", times["plain"])
    return [plain, Row("train_step", "ms", times["fast"], plain, SEVENTH)]


def fit(size: Size) -> list[Row]:
    """Measures `model.fit` on the input pipeline: epochs, of the plain model a few steps each."""
    splits, config = workload.load(size)
    fast_model, plain_model = workload.fast_model(config), workload.plain_model(config)
    data = TrainingData(splits, fast_model, config.training, SEED)
    plain_data = TrainingData(splits, plain_model, workload.plain_training(config), SEED)
    quick = _fit(fast_model, data, size.repeats)
    slow = _fit(plain_model, plain_data, size.repeats, size.plain_steps)
    windows = data.num_windows / data.steps_per_epoch
    plain_step = Row("plain: a step of fit", "ms", slow)
    plain_windows = config.training.batch_size
    plain_rate = Row("plain: sequences", "1/s", [1e3 * plain_windows / x for x in slow])
    return [
        plain_step,
        Row("a step of fit", "ms", quick, plain_step, SEVENTH),
        plain_rate,
        Row("sequences", "1/s", [1e3 * windows / x for x in quick], plain_rate),
    ]


def _fit(model, data, repeats, steps=None):
    """Measures milliseconds per step, epoch by epoch, after one epoch that also compiles.

    All epochs are one `fit`, as in `hmar train`.
    """
    steps = steps or data.steps_per_epoch
    clock = EpochClock()
    model.fit(
        data.dataset(0, repeats + 1),
        epochs=repeats + 1,
        steps_per_epoch=steps,
        callbacks=[clock],
        shuffle=False,
        verbose=0,
    )
    return [seconds * 1e3 / steps for seconds in clock.seconds[1:]]


def pipeline(size: Size) -> list[Row]:
    """Measures the input pipeline without a model against the step that it feeds."""
    splits, config = workload.load(size)
    model = workload.fast_model(config)
    data = TrainingData(splits, model, config.training, SEED)
    count, wall, busy = data.steps_per_epoch, [], []
    batches = iter(data.dataset(0, size.repeats + 1))
    for _ in range(size.repeats + 1):
        start, cpu_start = time.perf_counter(), time.process_time()
        for _ in range(count):
            next(batches)
        wall.append((time.perf_counter() - start) * 1e3 / count)
        busy.append((time.process_time() - cpu_start) * 1e3 / count)
    held = workload.batches(splits, model, config.training, size.steps)
    train_step = workload.train_step(model, held[0])
    steps = interleaved(size.repeats, {"step": (train_step, _calls(held))})["step"]
    step_row = Row("train_step that it feeds", "ms", steps)
    return [
        step_row,
        Row("a batch of the pipeline", "ms", wall[1:], step_row, FIFTH),
        Row("its CPU time on all cores", "ms", busy[1:], step_row),
    ]


def roofline(size: Size) -> list[Row]:
    """Measures the step and its parts against the least that real positions need."""
    rates = size.machine()
    splits, config = workload.load(size)
    model = workload.fast_model(config)
    held = workload.batches(splits, model, config.training, size.steps)
    train_step = workload.train_step(model, held[0])
    parts = StepParts(model, held[0])
    jobs = {
        "step": (train_step, _calls(held)),
        "forward": (parts.forward, held),
        "forward and backward": (parts.gradients, held),
        **parts.jobs(held),
    }
    times = interleaved(size.repeats, jobs)
    counts = Counts.mean(inputs for inputs, _ in held)
    work = training_work(config.model, counts)
    floors = Floors.of(work, machine_of(rates))
    floor = Row("floor: larger of computing and moving", "ms", [floors.classic])
    whole = Row("train_step", "ms", times["step"], floor, Limit("ratio", most=2.5))
    rows = [
        *rates,
        *_padding(counts),
        Row("floor: part by part", "ms", [floors.by_part]),
        Row("floor: computing, then moving", "ms", [floors.one_by_one]),
        floor,
        whole,
        *(Row(name, "ms", times[name], whole) for name in ("forward", "forward and backward")),
    ]
    for name, part in work.items():
        least = Row(f"floor: {name}", "ms", [machine_of(rates).floor(part.flops, part.moved)])
        rows += [least, Row(name, "ms", times[name], least)]
    return [*rows, *_traced(train_step, held)]


def _padding(counts):
    """Returns rows of how much of what is computed is real."""
    positions = Row("positions with padding", "a batch", [counts.padded])
    pairs = Row("pairs with padding and later keys", "a batch", [counts.padded_pairs])
    return [
        positions,
        Row("real positions", "a batch", [counts.positions], positions),
        pairs,
        Row("real pairs", "a batch", [counts.pairs], pairs),
        Row("real pairs of one behaviour", "a batch", [counts.behavior_pairs], pairs),
    ]


def _traced(train_step, held):
    kinds = operation_times(train_step, _calls(held))
    total = Row("operations, all threads", "ms", [sum(kinds.values())])
    return [total, *(Row(f"of these {name}", "ms", [x], total) for name, x in kinds.items())]


def large_catalog(size: Size) -> list[Row]:
    """Measures the optimiser's share of a step on the smaller of the large catalogues."""
    return _optimizers(size, size.catalogs[0])


def larger_catalog(size: Size) -> list[Row]:
    """Measures the optimiser's share of a step on the larger of the large catalogues."""
    return _optimizers(size, size.catalogs[1])


def _optimizers(size, num_items):
    dataset = workload.shop(size.catalog_users, num_items)
    config = RunConfig.preset("tianchi", num_items, dataset.behaviors)
    training, model = config.training, workload.fast_model(config)
    held = workload.batches(split(dataset), model, training, size.catalog_steps)
    optimizers = {**OPTIMIZERS, "Keras's Adam": keras.optimizers.Adam}
    jobs = {}
    for name, optimizer in {"none": NoOptimizer, **optimizers}.items():
        model = workload.fast_model(config, optimizer=optimizer(training.learning_rate))
        jobs[name] = workload.train_step(model, held[0]), _calls(held)
    times = interleaved(size.repeats, jobs)
    rows = [Row(f"{num_items:,} items, a step without its optimiser", "ms", times["none"])]
    for name in optimizers:
        whole = Row(f"{num_items:,} items, {name}: train_step", "ms", times[name])
        # Not timed by itself: passing the gradients from Python takes 2 ms.
        taken = [step - rest for step, rest in zip(times[name], times["none"], strict=True)]
        limit = FIFTH if name == training.optimizer else None
        rows += [whole, Row(f"{num_items:,} items, {name}: optimiser", "ms", taken, whole, limit)]
    return rows


def memory_fast(size: Size) -> list[Row]:
    """Measures the memory of an epoch of training, in a separate process."""
    splits, config = workload.load(size)
    before = Row("peak memory, log loaded", "GiB", [peak_memory()])
    model = workload.fast_model(config)
    _fit(model, TrainingData(splits, model, config.training, SEED), repeats=0)
    trained = Row("peak memory, an epoch trained", "GiB", [peak_memory()], before, MOST_MEMORY)
    return [before, trained]


def memory_plain(size: Size) -> list[Row]:
    """Measures the memory of some steps of the plain model, in a separate process."""
    splits, config = workload.load(size)
    before = Row("plain: peak memory, log loaded", "GiB", [peak_memory()])
    model = workload.plain_model(config)
    data = TrainingData(splits, model, workload.plain_training(config), SEED)
    _fit(model, data, 0, size.plain_steps)
    return [before, Row("plain: peak memory, steps trained", "GiB", [peak_memory()], before)]


def _calls(held):
    """Returns the calls of `train_step`, which takes a batch as one argument."""
    return [(batch,) for batch in held]
