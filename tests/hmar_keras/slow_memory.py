"""The scores of a memory, computed one candidate at a time from the layer's docstring.

And what a memory of an imagined log holds.
"""

import math

import numpy as np
from keras import ops

from hmar_keras.layers import LogCounts
from hmar_keras.layers.pair_table import places_per_item

SPEED = 10.0


def counts_of(items, seed=0, places=None, sets=8):
    """Returns counts of an imagined log, whole numbers and halves."""
    rng = np.random.default_rng(seed)
    places = places or places_per_item(items)
    ids = np.zeros((items + 1, places), np.int32)
    for item in range(1, items + 1):
        for candidate in range(1, items + 1):
            if candidate != item and rng.random() < 0.7:
                ids[item, candidate % places] = candidate
    values = np.where(ids > 0, rng.integers(1, 9, ids.shape) / 2, 0)
    users = rng.integers(1, 9, items + 1)
    # Half of the kept pairs would hardly be there without a user of both items.
    rivals = np.where(rng.random(ids.shape) < 0.5, 0, 0.98 * values * users[ids] ** -0.3)
    numbers = (values, rivals, users, *rng.normal(size=(2, items + 1)), rng.normal(size=sets))
    return LogCounts(ids, *(each.astype(np.float32) for each in numbers), scale=0.5)


def fill(layer, seed=0):
    """Gives a memory the counts of an imagined log, and weights of moderate size."""
    layer.assign(counts_of(layer.num_items, seed, sets=layer.num_sets))
    rng = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        old = np.array(ops.convert_to_numpy(weight))
        weight.assign(old + rng.normal(scale=0.1, size=old.shape))


def numbers_of(layer):
    """Returns the layer's weights by name, in the units of its docstring."""
    w = {weight.name: np.array(ops.convert_to_numpy(weight), float) for weight in layer.weights}
    for name in ("by_age", "by_set", "others", "gate"):
        w[name] = w[name] * SPEED
    r, p, log_k = np.moveaxis(w.pop("others") + np.array([1e-6, 1e-9, math.log(3.0)]), -1, 0)
    return {**w, "r": r, "p": p, "k": np.exp(log_k)}


def kept(w, layer, item, candidate):
    """Returns what the table keeps for a pair, 0 for nothing."""
    place = item * layer.pairs.num_places + candidate % layer.pairs.num_places
    found, value = w["pairs"][place]
    return value if found == candidate else 0.0


def at_age(values, age):
    """Interpolates between the values at the ages 0, 1, 3, 7 and so on."""
    return np.interp(math.log2(1 + age), np.arange(len(values)), values)


def shared(w, layer, item, candidate, sessions):
    """Returns w(item, candidate) without a user's own sessions, each a set of items."""
    scale = float(w["scale"]) * w["users"][item] ** -0.7 * w["users"][candidate] ** -0.3
    total = kept(w, layer, item, candidate) / scale
    own = sum(1 / len(s) for s in sessions if item in s and candidate in s)
    known = [any(each in s for s in sessions) for each in (item, candidate)]
    left = total - own if total - own > 1e-5 * own else 0.0
    n_item, n_candidate = (
        max(w["users"][each] - is_known, 1)
        for each, is_known in zip((item, candidate), known, strict=True)
    )
    found = float(w["scale"]) * n_candidate**-0.3 * left
    place = item * layer.pairs.num_places + candidate % layer.pairs.num_places
    if own and found * w["users"][item] ** -0.7 <= w["rivals"][place, 0]:
        return 0.0  # without the user the table would keep another pair
    return n_item**-0.7 * found


def with_memory(layer, batch, network):
    """Returns the scores of a model with a memory, asked for the target behaviour.

    Args:
        layer: a `LogMemory`.
        batch: `item_ids`, `behavior_ids` and `candidate_ids`.
        network: `[batch, steps, candidates]`, the scores of the network.
    """
    w, found = numbers_of(layer), np.zeros(network.shape)
    for row, step, column in np.ndindex(network.shape):
        items, behaviors = (batch[name][row] for name in ("item_ids", "behavior_ids"))
        t = len(items) - network.shape[1] + step
        candidate = batch["candidate_ids"][row, step, column]
        target = layer.behaviors.target_id
        found[row, step, column] = score(w, layer, items, behaviors, t, target, candidate)
        if not candidate or candidate not in items[: t + 1]:  # others have the memory's score alone
            found[row, step, column] += w["gate"] * network[row, step, column]
    return found


def score(w, layer, items, behaviors, t, answer_behavior, candidate, sessions=()):
    """Returns the score of a candidate after the events up to place t, without the network."""
    a = int(answer_behavior == layer.behaviors.target_id)
    seen = [s for s in range(t + 1) if items[s]]
    on_it = [s for s in seen if items[s] == candidate]
    if on_it:
        bits = {layer.bits[behaviors[s]] for s in on_it}
        constant, slope = w["by_set"][a * layer.num_sets + sum(bits)]
        ages = sum(math.exp(at_age(w["by_age"][a, behaviors[s] - 1, :, 0], t - s)) for s in on_it)
        recency = w["r"][a] * math.log(ages)
        return constant + slope * w["conversion"][candidate] + recency
    y = 0.0
    for s in seen:
        if items[s] in items[s + 1 : t + 1]:
            continue
        weights = w["by_age"][a, behaviors[s] - 1]
        value = shared(w, layer, items[s], candidate, sessions)
        y += at_age(weights[:, 1], t - s) * value + at_age(weights[:, 2], t - s) * value**0.5
    k = w["k"][a]
    return w["p"][a] * w["popularity"][candidate] + (k * math.log1p(max(y, 0) / k))
