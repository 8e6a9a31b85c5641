"""The behaviour head's predictions for held-out events."""

import numpy as np
import pytest
from keras import ops

from pipelines.report import behavior_head
from pipelines.report.behavior_head import (
    BehaviorPredictions,
    held_out_events,
    predict_behaviors,
)


def test_held_out_events_are_those_from_the_validation_answer_on(opened):
    events = set(held_out_events(opened).tolist())
    validation, offsets = opened.splits.validation, opened.dataset.offsets
    expected = set()
    for user, end in zip(validation.users, validation.ends, strict=True):
        expected.update(range(end, offsets[user + 1]))
    assert events == expected


def test_predictions_are_those_of_the_model(opened, monkeypatch):
    predictions = predict_behaviors(opened)
    events = held_out_events(opened)
    assert predictions.held_out == len(events)
    dataset, length = opened.dataset, opened.config.model.max_length
    for row in (0, 17, len(events) - 1):
        event = events[row]
        user = np.searchsorted(dataset.offsets, event, side="right") - 1
        window = slice(max(dataset.offsets[user], event - length), event)
        history = (dataset.item_ids[window][None], dataset.behavior_ids[window][None])
        arrays = (*history, dataset.item_ids[event : event + 1][None, None])
        names = ("item_ids", "behavior_ids", "candidate_ids")
        inputs = dict(zip(names, map(ops.convert_to_tensor, arrays), strict=True))
        inputs |= opened.model.question(inputs)
        if opened.config.model.shared_negatives:
            inputs["negative_ids"] = ops.zeros((1, 0), "int32")
        outputs = opened.model(inputs)
        logits = np.array(outputs["behavior"])[0, 0].astype(float)
        expected = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(predictions.probabilities[row], expected, atol=1e-5)
        assert predictions.truth[row] == dataset.behavior_ids[event] - 1
    monkeypatch.setattr(behavior_head, "MOST_EVENTS", 20)
    fewer = predict_behaviors(opened)
    assert (len(fewer.truth), fewer.held_out) == (20, len(events))


def test_confusion_and_calibration_against_loops():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 2, 1], 500)
    truth = rng.integers(3, size=500)
    predictions = BehaviorPredictions(truth, probabilities, 500)
    confusion = predictions.confusion()
    for true in range(3):
        for predicted in range(3):
            pairs = zip(truth, probabilities.argmax(axis=1), strict=True)
            assert confusion[true, predicted] == sum(p == (true, predicted) for p in pairs)
    assert predictions.accuracy == pytest.approx(np.trace(confusion) / 500)
    found, error = predictions.reliability(), 0.0
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    for low in np.arange(10) / 10:
        inside = (sure >= low) & (sure < low + 0.1)
        if inside.any():
            error += inside.sum() / 500 * abs(sure[inside].mean() - right[inside].mean())
    assert found.error == pytest.approx(error)
    assert found.counts.sum() == 500


def test_certainty_is_in_the_last_bin():
    found = BehaviorPredictions(np.array([0, 1]), np.array([[1.0, 0.0]] * 2), 2).reliability()
    assert found.counts.tolist() == [2]
    assert found.error == pytest.approx(0.5)
