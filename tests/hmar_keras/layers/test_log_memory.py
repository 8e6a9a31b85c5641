import numpy as np
import pytest
from histories import many_histories
from keras import ops
from layer_checks import run_layer_test
from reference_model import assert_close
from slow_memory import counts_of, fill, numbers_of, score

from hmar_keras.layers import LogMemory, PairTable
from hmar_keras.layers.log_memory import HIDDEN
from hmar_keras.schema import Behaviors

ITEMS, LENGTH, ROWS, DRAWN = 11, 6, 14, 5
BEHAVIORS = Behaviors(("view", "cart", "buy"), "buy")


def make(behaviors=BEHAVIORS, seed=0):
    """Returns a memory with counts and weights of moderate size."""
    layer = LogMemory(ITEMS, behaviors, LENGTH)
    layer.build()
    fill(layer, seed)
    return layer


def sessions_of(items, rng):
    """Returns some sets of a row's items, the first with all of them."""
    known = sorted(set(items.tolist()) - {0})
    some = [{i for i in known if rng.random() < 0.5} for _ in range(2)]
    return [set(known), *(s for s in some if len(s) > 1)] if known else []


def shares_of(items, sessions, count):
    """Returns what describes the sessions of a row, `[len(items), count]`."""
    found = np.zeros((len(items), count), "float32")
    for place, item in enumerate(items):
        for number, session in enumerate(sessions):
            if item in session:
                found[place, number] = len(session) ** -0.5
    return found


def training_inputs(seed=0, num_behaviors=3):
    """Returns the layer's inputs for a training step, and each row's sessions."""
    rng = np.random.default_rng(seed)
    items, behaviors = many_histories(ROWS, LENGTH + 1, ITEMS, num_behaviors, seed=seed)
    sessions = [sessions_of(row, rng) for row in items]
    shares = np.stack([shares_of(*pair, 3) for pair in zip(items, sessions, strict=True)])
    drawn = np.zeros((ROWS, DRAWN), "int32")
    for row in range(ROWS):
        outside = np.setdiff1d(np.arange(1, ITEMS + 1), items[row])
        drawn[row] = rng.choice(outside, DRAWN)
    network = rng.normal(size=(ROWS, LENGTH, 1 + LENGTH + DRAWN)).astype("float32")
    inputs = {
        "network": network,
        "item_ids": items[:, :-1],
        "behavior_ids": behaviors[:, :-1],
        "answer_behaviors": behaviors[:, 1:],
        "candidate_ids": items[:, 1:, None],
        "negative_ids": np.concatenate([items[:, :-1], drawn], axis=1),
        "own_shares": shares[:, :-1],
        "answer_shares": shares[:, 1:],
    }
    return inputs, sessions


def questions(candidates, seed=3, rows=ROWS):
    """Returns the layer's inputs for one step after histories, without own sessions."""
    items, behaviors = many_histories(rows, LENGTH, ITEMS, 3, seed=seed)
    asked = np.broadcast_to(np.asarray(candidates, "int32"), (rows, 1, len(candidates)))
    return {
        "network": np.zeros(asked.shape, "float32"),
        "item_ids": items,
        "behavior_ids": behaviors,
        "answer_behaviors": np.full((rows, 1), BEHAVIORS.target_id, "int32"),
        "candidate_ids": asked,
        "negative_ids": np.zeros((rows, 0), "int32"),
        "own_shares": np.zeros((rows, LENGTH, 0), "float32"),
        "answer_shares": np.zeros((rows, 1, 0), "float32"),
    }


def called(layer, inputs):
    return ops.convert_to_numpy(layer(**{n: ops.convert_to_tensor(x) for n, x in inputs.items()}))


def test_layer(tmp_path):
    kwargs = {"num_items": ITEMS, "behaviors": {"names": ("a", "b", "c"), "target": "c"}}
    inputs, _ = training_inputs()
    inputs = tuple(inputs.values())
    run_layer_test(
        LogMemory, {**kwargs, "max_length": LENGTH}, inputs, tmp_path, float32_output=True
    )


SEVEN = Behaviors(tuple("abcdefg"), "d")


@pytest.mark.parametrize("behaviors", [BEHAVIORS, Behaviors(("view",), "view"), SEVEN])
def test_scores_one_by_one(behaviors):
    layer = make(behaviors)
    inputs, sessions = training_inputs(num_behaviors=len(behaviors))
    scores, w = called(layer, inputs), numbers_of(layer)
    checked = hidden = 0
    for row, step in np.ndindex(ROWS, LENGTH):
        items, kinds = inputs["item_ids"][row], inputs["behavior_ids"][row]
        answer = inputs["candidate_ids"][row, step, 0]
        for column, candidate in enumerate([answer, *inputs["negative_ids"][row]]):
            found = scores[row, step, column]
            if candidate not in items[: step + 1]:  # the memory scores touched items alone
                found -= w["gate"] * inputs["network"][row, step, column]
            place = column - 1
            if 0 <= place < LENGTH:
                later = items[place + 1 : step + 1]
                if place > step or not candidate or candidate in (answer, *later):
                    assert found < HIDDEN / 2
                    hidden += 1
                    continue
            elif not answer:
                continue
            own = sessions[row] if column == 0 else own_items_only(sessions[row])
            kind = inputs["answer_behaviors"][row, step]
            expected = score(w, layer, items, kinds, step, kind, candidate, own)
            assert_close(found, expected)
            checked += 1
    assert checked > 300
    assert hidden > 200


def own_items_only(sessions):
    """What other candidates lose without the user: a user of each item of the history."""
    return [{item} for item in set().union(*sessions)]


def test_the_catalogue_has_the_scores_of_all_candidates():
    layer = make()
    everything = np.arange(1, ITEMS + 1)
    inputs = questions(everything)
    found = layer.catalog(*(ops.convert_to_tensor(inputs[n]) for n in ("item_ids", "behavior_ids")))
    scores = ops.convert_to_numpy(found.scores)
    assert_close(scores[:, 1:], called(layer, inputs)[:, 0])
    # Items that it does not name have the bias.
    named, bias = (ops.convert_to_numpy(x) for x in (found.item_ids, found.bias))
    others = np.array([np.isin(everything, row, invert=True) for row in named])
    assert others.any()
    expected = np.broadcast_to(bias[1:], others.shape)
    assert_close(scores[:, 1:][others], expected[others])
    assert_close(ops.convert_to_numpy(found.gate), numbers_of(layer)["gate"])


def test_later_events_change_nothing():
    layer = make()
    inputs, _ = training_inputs()
    before = called(layer, inputs)[:, :3, 0]
    later = {n: inputs[n].copy() for n in ("item_ids", "behavior_ids")}
    is_event = later["item_ids"][:, 3:] > 0
    later["item_ids"][:, 3:] = np.where(is_event, later["item_ids"][:, 3:] % ITEMS + 1, 0)
    later["behavior_ids"][:, 3:] = np.where(is_event, 4 - later["behavior_ids"][:, 3:], 0)
    assert_close(called(layer, {**inputs, **later})[:, :3, 0], before)


def test_padding_changes_nothing():
    layer = LogMemory(ITEMS, BEHAVIORS, LENGTH + 4)
    layer.build()
    layer.assign(counts_of(ITEMS))
    inputs = questions(np.arange(1, ITEMS + 1))
    longer = {
        name: np.pad(inputs[name], [(0, 0), (4, 0)] + [(0, 0)] * (inputs[name].ndim - 2))
        for name in ("item_ids", "behavior_ids", "own_shares")
    }
    assert_close(called(layer, {**inputs, **longer}), called(layer, inputs))


def test_the_network_adds_nothing_at_first():
    layer = LogMemory(ITEMS, BEHAVIORS, LENGTH)
    layer.build()
    layer.assign(counts_of(ITEMS))
    inputs, _ = training_inputs()
    other = {**inputs, "network": inputs["network"] * 100}
    np.testing.assert_array_equal(called(layer, inputs), called(layer, other))


@pytest.mark.parametrize("places", [1, 4, 16])
def test_a_pair_is_found_at_its_only_place(places):
    counts = counts_of(ITEMS, places=places)
    table = PairTable(ITEMS, places)
    table.build()
    table.assign(counts.pair_ids, counts.pair_values, counts.pair_rivals)
    items = np.array([[0, 1, 5, 11], [2, 3, 4, 6]], "int32")
    candidates = np.broadcast_to(np.arange(1, ITEMS + 1, dtype="int32"), (2, ITEMS))
    found = ops.convert_to_numpy(
        table(ops.convert_to_tensor(items), ops.convert_to_tensor(candidates))
    )
    ids, values = (ops.convert_to_numpy(x) for x in table.rows(ops.convert_to_tensor(items)))
    for row, place in np.ndindex(items.shape):
        kept = dict(zip(ids[row, place].tolist(), values[row, place].tolist(), strict=True))
        expected = [kept.get(candidate, 0.0) for candidate in range(1, ITEMS + 1)]
        np.testing.assert_array_equal(found[row, place], expected)
        assert items[row, place] or not any(kept)
    tensors = ops.convert_to_tensor(items), ops.convert_to_tensor(candidates)
    rivals = counts.pair_rivals[items[:, :, None], candidates[:, None] % places]
    np.testing.assert_array_equal(ops.convert_to_numpy(table.least(*tensors)), rivals)
