"""Speed of evaluation and of an exported model; see `speed.py` for the sections."""

from __future__ import annotations

import tempfile
import time

import numpy as np
import tensorflow as tf
import workload
from machine import machine_of
from measuring import Limit, Row
from roofline import Counts, Work, catalog_work, training_work
from workload import SEED, Size

from hmar_keras import HMAR, HMARConfig
from hmar_keras.schema import BEHAVIOR_IDS, CANDIDATE_IDS, ITEM_IDS
from pipelines.evaluation.evaluator import FULL, PROTOCOLS, SAMPLED, Evaluator, model_scorer
from pipelines.export import export
from pipelines.protocol.questions import history_features
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import item_popularity


def evaluation(size: Size) -> list[Row]:
    """Measures evaluated users per second, with d = 64 and length 50."""
    rates = size.machine()
    dataset = workload.shop(2 * size.questions, size.evaluated_items)
    config = HMARConfig(dataset.num_items, dataset.behaviors, dim=64, max_length=50)
    questions = split(dataset).test.take(slice(size.questions))
    evaluator = Evaluator(dataset, questions, SEED)
    scorer = model_scorer(HMAR(config), dataset)
    encoding = _encoding_work(config, dataset, questions)
    work = {SAMPLED: encoding, FULL: encoding + catalog_work(config, len(questions))}
    asked = {SAMPLED: (SAMPLED,), FULL: (FULL,), "all three protocols": PROTOCOLS}
    speeds = {name: [] for name in asked}
    for repeat in range(size.repeats + 1):
        for name, protocols in asked.items():
            start = time.perf_counter()
            evaluator(scorer, protocols)
            if repeat:
                speeds[name].append(len(questions) / (time.perf_counter() - start))
    limits = {SAMPLED: Limit("median", least=2_000), FULL: Limit("median", least=1_500)}
    rows = [*rates]
    for name, samples in speeds.items():
        least = work.get(name, work[FULL])
        milliseconds = machine_of(rates).floor(least.flops, least.moved)
        ceiling = Row(f"ceiling: {name}", "users/s", [1e3 * len(questions) / milliseconds])
        rows += [ceiling, Row(name, "users/s", samples, ceiling, limits.get(name))]
    return rows


def _encoding_work(config, dataset, questions):
    """Counts the work from histories to states: the forward third of that in training."""
    inputs = history_features(dataset, questions, config.max_length)
    inputs[CANDIDATE_IDS] = np.zeros((*inputs[ITEM_IDS].shape, 1), np.int32)
    work = training_work(config, Counts.of(inputs))
    parts = ("items and positions", "behaviour encoder", "sequence encoder")
    return Work(sum(work[part].flops for part in parts) / 3, 0)


def serving(size: Size) -> list[Row]:
    """Measures the SavedModel's `recommend`, request by request, with full histories."""
    rates = size.machine()
    splits, run_config = workload.load(size)
    config = run_config.model
    dataset, model = splits.dataset, HMAR(config)
    encoding = _encoding_work(config, dataset, splits.test)
    rows = [*rates]
    with tempfile.TemporaryDirectory() as folder:
        version = export(model, dataset.items, item_popularity(splits), folder, {})
        recommend = tf.saved_model.load(str(version)).signatures["recommend"]
        for batch in (1, 64):
            samples = _latencies(recommend, splits, config, batch, size.requests)
            work = encoding * (batch / len(splits.test)) + catalog_work(config, batch)
            least = machine_of(rates).floor(work.flops, work.moved)
            floor = Row(f"floor: recommend to {batch}", "ms", [least])
            rows += [floor, Row(f"recommend to {batch}", "ms", samples, floor)]
    return rows


def _latencies(recommend, splits, config, batch, requests):
    """Measures the milliseconds of each request, except the first."""
    rng, samples = np.random.default_rng(SEED), []
    top, seen_too = tf.constant(10), tf.constant(False)
    for _ in range(requests + 1):
        questions = splits.test.take(rng.integers(len(splits.test), size=batch))
        items, behaviors = _strings(splits.dataset, questions, config.max_length)
        start = time.perf_counter()
        answer = recommend(items=items, behaviors=behaviors, k=top, exclude_seen=seen_too)
        answer["items"].numpy()
        samples.append((time.perf_counter() - start) * 1e3)
    return samples[1:]


def _strings(dataset, questions, max_length):
    """Returns histories by name, no longer than the longest of them needs."""
    longest = int((questions.ends - questions.starts).max())
    ids = history_features(dataset, questions, min(longest, max_length))
    names = {ITEM_IDS: dataset.items.tolist(), BEHAVIOR_IDS: dataset.behaviors.names}
    return [
        tf.constant(np.array(["", *words], object)[ids[feature]])
        for feature, words in names.items()
    ]
