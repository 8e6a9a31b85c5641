import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from hmar_keras.models.sequential_recommender import LOWEST_SCORE
from pipelines.cli.history_text import parse_history
from pipelines.export import export
from pipelines.export.loaded_export import Recommender, _version
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import item_popularity
from pipelines.runtime.errors import InputError
from pipelines.runtime.model_versions import versions

from ..exports import random_model

NAMES = ("view", "cart", "buy")


@pytest.fixture(scope="module")
def exported(tmp_path_factory, log):
    """Returns a model with random non-zero weights, its export, and the loaded export."""
    model = random_model(log)
    directory = tmp_path_factory.mktemp("models") / "shop"
    version = export(model, log.items, item_popularity(split(log)), directory, {"seed": 0})
    loaded = tf.saved_model.load(str(version))
    return model, version, loaded


def strings(rows):
    return tf.constant(rows, tf.string)


def ask(loaded, histories, signature="serving_default", **others):
    """Calls a signature with histories of (item id, behaviour id), left-padded with ""."""
    longest = max(len(history) for history in histories)
    items, behaviors = [], []
    for history in histories:
        gap = [""] * (longest - len(history))
        items.append(gap + [f"i{item}" if item else "nothing" for item, _ in history])
        behaviors.append(gap + [NAMES[b - 1] if b else "stare" for _, b in history])
    return loaded.signatures[signature](
        items=strings(items), behaviors=strings(behaviors), **others
    )


def recommend(loaded, histories, k=5, exclude_seen=False):
    answer = ask(loaded, histories, k=tf.constant(k), exclude_seen=tf.constant(exclude_seen))
    return answer["items"].numpy().astype(str), answer["scores"].numpy()


def in_process(model, history, candidates):
    """Returns the model's own scores for one history."""
    history = history[-model.config.max_length :]
    items, behaviors = (np.array([column], np.int32) for column in zip(*history, strict=True))
    candidates = np.array(candidates, np.int32)[None, None]
    outputs = model({"item_ids": items, "behavior_ids": behaviors, "candidate_ids": candidates})
    return np.asarray(outputs["ranking"])[0, 0]


HISTORIES = [
    [(3, 1), (7, 1), (3, 2), (9, 1)],
    [(1, 1)],
    [(5, 3), (5, 3), (6, 1), (8, 2), (2, 1), (4, 1), (5, 1), (30, 2)],  # longer than `max_length`
]


def test_recommend_equals_the_model(exported, log):
    model, _, loaded = exported
    items, scores = recommend(loaded, HISTORIES, k=log.num_items)
    for row, history in enumerate(HISTORIES):
        expected = in_process(model, history, range(1, log.num_items + 1))
        by_name = dict(zip(items[row].tolist(), scores[row].tolist(), strict=True))
        got = [by_name[f"i{item}"] for item in range(1, log.num_items + 1)]
        np.testing.assert_allclose(got, expected, atol=1e-5)
        assert np.all(np.diff(scores[row]) <= 0)


def test_every_history_may_have_options_of_its_own(exported):
    """TensorFlow Serving joins rows of several requests like this."""
    _, _, loaded = exported
    ks, exclude = [2, 5, 3], [True, False, True]
    answer = ask(loaded, HISTORIES, k=tf.constant(ks), exclude_seen=tf.constant(exclude))
    items, scores = answer["items"].numpy().astype(str), answer["scores"].numpy()
    assert items.shape == scores.shape == (3, 5)
    for row in range(3):
        alone, alone_scores = recommend(loaded, [HISTORIES[row]], ks[row], exclude[row])
        assert items[row].tolist() == alone[0].tolist() + [""] * (5 - ks[row])
        np.testing.assert_allclose(scores[row, : ks[row]], alone_scores[0], atol=1e-5)
        assert np.all(scores[row, ks[row] :] == np.float32(LOWEST_SCORE))


def test_options_for_another_number_of_histories_are_refused(exported):
    _, _, loaded = exported
    with pytest.raises(tf.errors.InvalidArgumentError, match="one for each"):
        ask(loaded, HISTORIES, k=tf.constant([1, 2]), exclude_seen=tf.constant(False))


def test_what_is_unknown_is_left_out_and_counted(exported):
    _, _, loaded = exported
    history = HISTORIES[0]
    strange = [(0, 1), *history[:2], (4, 0), *history[2:], (0, 0)]
    options = {"k": tf.constant(5), "exclude_seen": tf.constant(False)}
    answer = ask(loaded, [strange, history, []], **options)
    assert answer["unknown"].numpy().tolist() == [3, 0, 0]
    assert answer["items"][0].numpy().tolist() == answer["items"][1].numpy().tolist()
    candidates = {"candidates": strings([["i3"]] * 2)}
    for signature in ("rank", "behavior"):
        answer = ask(loaded, [strange, history], signature, **candidates)
        assert answer["unknown"].numpy().tolist() == [3, 0]


def test_no_event_at_all_is_answered_with_what_is_popular(exported, log):
    """Histories of width zero, as a client may send them for a user without events."""
    _, version, loaded = exported
    nothing = {name: tf.zeros((2, 0), tf.string) for name in ("items", "behaviors")}
    popular = np.argsort(-item_popularity(split(log))[1:], kind="stable")[:4]
    expected = [f"i{row + 1}" for row in popular]
    answer = loaded.signatures["recommend"](
        **nothing, k=tf.constant(4), exclude_seen=tf.constant(True)
    )
    assert answer["items"].numpy().astype(str).tolist() == [expected] * 2
    assert [item for item, _ in Recommender(version)([], 4)] == expected
    candidates = strings([["i3", "i4"]] * 2)
    for signature in ("rank", "behavior"):
        answer = loaded.signatures[signature](**nothing, candidates=candidates)
        assert all(np.all(np.isfinite(v)) for v in answer.values() if v.dtype == tf.float32)


def test_items_and_behaviors_of_different_shapes_are_refused(exported):
    _, _, loaded = exported
    options = {"k": tf.constant(5), "exclude_seen": tf.constant(False)}
    with pytest.raises(tf.errors.InvalidArgumentError, match="same shape"):
        loaded.signatures["recommend"](
            items=strings([["i1", "i2"]]), behaviors=strings([["view"]]), **options
        )


def as_example(history, **options):
    def feature(values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    features = {
        "items": feature([f"i{item}".encode() for item, _ in history]),
        "behaviors": feature([NAMES[behavior - 1].encode() for _, behavior in history]),
    }
    for name, value in options.items():
        features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def test_examples_are_answered_as_recommend_is(exported):
    _, _, loaded = exported
    answer = loaded.signatures["examples"](
        tf.constant(
            [
                as_example(HISTORIES[0]),
                as_example(HISTORIES[1], k=4, exclude_seen=1),
                as_example([]),
            ]
        )
    )
    expected = ask(
        loaded,
        [*HISTORIES[:2], []],
        k=tf.constant([10, 4, 10]),
        exclude_seen=tf.constant([False, True, False]),
    )
    assert answer["items"].numpy().tolist() == expected["items"].numpy().tolist()
    np.testing.assert_allclose(answer["scores"], expected["scores"], atol=1e-5)


def test_an_example_with_a_missing_behavior_is_refused(exported):
    _, _, loaded = exported
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"i1"]))
    example = tf.train.Example(features=tf.train.Features(feature={"items": feature}))
    with pytest.raises(tf.errors.InvalidArgumentError, match="equal in number"):
        loaded.signatures["examples"](tf.constant([example.SerializeToString()]))


def test_explain_tells_what_the_model_sees_counts_and_looks_at(exported):
    _, _, loaded = exported
    answer = {name: value.numpy() for name, value in ask(loaded, HISTORIES, "explain").items()}
    for row, history in enumerate(HISTORIES):
        seen = history[-6:]
        real = slice(6 - len(seen), None)
        assert answer["items"][row, real].astype(str).tolist() == [f"i{item}" for item, _ in seen]
        names = answer["behaviors"][row, real].astype(str).tolist()
        assert names == [NAMES[behavior - 1] for _, behavior in seen]
        for place, (item, _) in enumerate(seen):
            past = [b for other, b in seen[: place + 1] if other == item]
            counts = [past.count(behavior) for behavior in (1, 2, 3)]
            assert answer["indicators"][row, real][place].tolist() == counts
        by_behavior = answer["behavior_attention"][row, real]
        for behavior in {behavior for _, behavior in seen}:
            own = [b == behavior for _, b in seen]
            assert by_behavior[own].sum() == pytest.approx(1, abs=1e-5)
        assert answer["sequence_attention"][row, real].sum() == pytest.approx(1, abs=1e-5)
        for name in ("items", "behaviors"):
            assert not any(answer[name][row, : real.start])
        for name in ("indicators", "behavior_attention", "sequence_attention"):
            assert not answer[name][row, : real.start].any()


def test_rank_equals_the_model_and_tells_the_unknown(exported):
    model, _, loaded = exported
    candidates = strings([["i3", "i9", "nope"]] * len(HISTORIES))
    answer = ask(loaded, HISTORIES, "rank", candidates=candidates)
    assert answer["known"].numpy().tolist() == [[True, True, False]] * len(HISTORIES)
    for row, history in enumerate(HISTORIES):
        expected = in_process(model, history, [3, 9])
        np.testing.assert_allclose(answer["scores"][row, :2], expected, atol=1e-5)
        assert answer["scores"][row, 2] == np.float32(LOWEST_SCORE)


def test_behavior_equals_the_models_head(exported):
    model, _, loaded = exported
    candidates = strings([["i3", "i12"]] * len(HISTORIES))
    answer = ask(loaded, HISTORIES, "behavior", candidates=candidates)
    assert answer["names"].numpy().astype(str).tolist() == [list(NAMES)] * len(HISTORIES)
    for row, history in enumerate(HISTORIES):
        history = history[-model.config.max_length :]
        items, behaviors = (np.array([c], np.int32) for c in zip(*history, strict=True))
        for column, candidate in enumerate((3, 12)):
            outputs = model(
                {
                    "item_ids": items,
                    "behavior_ids": behaviors,
                    "candidate_ids": np.array([[[candidate]]], np.int32),
                }
            )
            expected = tf.nn.softmax(outputs["behavior"])[0, 0]
            np.testing.assert_allclose(answer["probabilities"][row, column], expected, atol=1e-5)


@pytest.mark.slow
def test_three_ways_agree(exported, tmp_path, log):
    """In this process, from a .keras file in a new process, and from the SavedModel."""
    model, _, loaded = exported
    path = tmp_path / "model.keras"
    model.save(path)
    history = HISTORIES[0]
    script = f"""
import keras, numpy as np, hmar_keras
model = keras.saving.load_model({str(path)!r})
items, behaviors = (np.array([c], np.int32) for c in zip(*{history!r}))
scores = model.score_catalog({{"item_ids": items, "behavior_ids": behaviors}})
print(",".join(map(repr, keras.ops.convert_to_numpy(scores)[0, 1:].tolist())))
"""
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    fresh = np.array([float(score) for score in output.strip().splitlines()[-1].split(",")])
    here = in_process(model, history, range(1, log.num_items + 1))
    items, scores = recommend(loaded, [history], k=log.num_items)
    served = dict(zip(items[0].tolist(), scores[0].tolist(), strict=True))
    np.testing.assert_allclose(fresh, here, atol=1e-5)
    np.testing.assert_allclose(
        [served[f"i{item}"] for item in range(1, log.num_items + 1)], here, atol=1e-5
    )


def test_padding_and_unknown_events_change_nothing(exported):
    _, _, loaded = exported
    clean = [(3, 1), (7, 1), (3, 2)]
    # 0 is an unknown item or behaviour; the batch left-pads shorter rows.
    dirty = [(3, 1), (0, 1), (7, 1), (5, 0), (3, 2), (0, 0)]
    items, scores = recommend(loaded, [clean, dirty, [(9, 1)] * 9])
    assert items[0].tolist() == items[1].tolist()
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)
    alone, alone_scores = recommend(loaded, [clean])
    assert items[0].tolist() == alone[0].tolist()
    np.testing.assert_allclose(scores[0], alone_scores[0], atol=1e-6)
    # Padding on the right has no effect either.
    answer = loaded.signatures["recommend"](
        items=strings([["i3", "i7", "i3", "", ""]]),
        behaviors=strings([["view", "view", "cart", "", ""]]),
        k=tf.constant(5),
        exclude_seen=tf.constant(False),
    )
    assert answer["items"].numpy().astype(str)[0].tolist() == alone[0].tolist()


def test_seen_items_can_be_left_out(exported, log):
    _, _, loaded = exported
    long = [(item, 1) for item in range(1, 12)]  # partly before the model's window
    items, _ = recommend(loaded, [long], k=log.num_items, exclude_seen=True)
    answered = [item for item in items[0].tolist() if item]
    assert sorted(answered) == sorted(f"i{item}" for item in range(12, log.num_items + 1))
    assert items[0, len(answered) :].tolist() == [""] * 11
    everything, _ = recommend(loaded, [long], k=log.num_items)
    assert set(everything[0].tolist()) == {f"i{item}" for item in range(1, log.num_items + 1)}


def test_a_stranger_gets_what_is_popular(exported, log):
    _, _, loaded = exported
    popular = np.argsort(-item_popularity(split(log))[1:], kind="stable")[:5] + 1
    items, scores = recommend(loaded, [[(0, 1)], [(0, 0), (0, 0)]])
    assert items.tolist() == [[f"i{item}" for item in popular]] * 2
    assert np.all(np.isfinite(scores))
    everything, _ = recommend(loaded, [[(0, 1)]], k=log.num_items)
    assert set(everything[0].tolist()) == {f"i{item}" for item in range(1, log.num_items + 1)}


def test_more_than_there_is_can_be_asked_for(exported, log):
    items, _ = recommend(exported[2], [[(1, 1)]], k=10 * log.num_items)
    assert items.shape == (1, log.num_items)


def test_one_copy_of_the_weights(exported):
    model, version, _ = exported
    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    shapes = reader.get_variable_to_shape_map()
    stored = [shape for name, shape in shapes.items() if "VARIABLE_VALUE" in name]
    popularity = [model.config.num_items + 1]
    expected = [list(weight.shape) for weight in model.trainable_weights] + [popularity]
    assert sorted(stored) == sorted(expected)


def test_defaults_are_stored_for_serving(exported):
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((exported[1] / "saved_model.pb").read_bytes())
    defaults = proto.meta_graphs[0].signature_def["serving_default"].defaults
    assert {name: tf.make_ndarray(value).item() for name, value in defaults.items()} == {
        "k": 10,
        "exclude_seen": False,
    }


@pytest.mark.slow
def test_versions_count_up_and_nothing_is_left_behind(exported, log, tmp_path):
    model = exported[0]
    popularity = item_popularity(split(log))
    directory = tmp_path / "name"
    paths = [export(model, log.items, popularity, directory, {}) for _ in range(2)]
    assert [path.name for path in paths] == ["1", "2"]
    assert list(versions(directory)) == [1, 2]
    assert sorted(path.name for path in directory.iterdir()) == ["1", "2"]
    bad = np.array(["one\ntwo", *log.items[1:]])
    with pytest.raises(InputError, match="line break"):
        export(model, bad, popularity, directory, {})
    assert list(versions(directory)) == [1, 2]


@pytest.mark.slow
def test_a_failing_export_leaves_nothing(exported, log, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("no space")

    # Fails at the last file that is written.
    monkeypatch.setattr("pipelines.export.model_card.json.dumps", fail)
    with pytest.raises(RuntimeError):
        export(exported[0], log.items, np.zeros(log.num_items + 1), tmp_path / "name", {})
    assert list((tmp_path / "name").iterdir()) == []


def test_an_unwritable_directory_is_named(exported, log, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        export(exported[0], log.items, np.zeros(log.num_items + 1), tmp_path / "file" / "m", {})


def test_the_recommender_needs_only_the_export(exported):
    _, version, loaded = exported
    metadata = json.loads((version / "assets.extra" / "hmar.json").read_text())
    assert metadata["config"]["behaviors"]["names"] == list(NAMES)
    assert (metadata["retrieval"], metadata["seed"]) == ("product", 0)
    recommender = Recommender(version.parent)
    history = parse_history("i3:view, i7:view,i3:cart", recommender.behaviors)
    answer = recommender(history, k=4)
    items, scores = recommend(loaded, [[(3, 1), (7, 1), (3, 2)]], k=4)
    assert [item for item, _ in answer] == items[0].tolist()
    np.testing.assert_allclose([score for _, score in answer], scores[0], atol=1e-6)


def test_the_latest_version_is_loaded(tmp_path):
    for number in (9, 10):
        (tmp_path / str(number)).mkdir()
    assert _version(tmp_path) == tmp_path / "10"


def test_no_export_is_an_error(tmp_path, exported):
    with pytest.raises(InputError, match="holds no exported model"):
        Recommender(tmp_path / "nowhere")
    broken = tmp_path / "1"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(InputError, match="complete export"):
        Recommender(tmp_path)
