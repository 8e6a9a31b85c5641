"""Sections about the model: training, behaviour head, skip connections."""

from __future__ import annotations

import numpy as np
from keras import ops

from hmar_keras.layers.rezero import ReZero
from pipelines.description.numbers import counted
from pipelines.report.behavior_head import BehaviorPredictions
from pipelines.report.elements import (
    Cell,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Table,
    listed,
    number,
    percent,
    shown,
)
from pipelines.report.opened_run import OpenedRun
from pipelines.report.pictures import Interval, intervals, lines, reliability
from pipelines.report.result_sections import title_of
from pipelines.training.fit import best_epoch
from pipelines.training.validation import MONITORED

_LOSSES = {"loss": "loss", "ranking_loss": "ranking", "behavior_loss": "behaviour"}


def training_section(history: list[dict]) -> Section:
    """Builds the section with losses and validation results by epoch."""
    best = best_epoch(history)
    seconds = sum(entry.get("seconds", 0.0) for entry in history)
    text = (
        f"{counted(len(history), 'epoch')} in {duration(seconds)}; the weights are those of epoch "
        f"{best}, which has the best validation score ({number(history[best - 1][MONITORED])})."
    )
    pictures = [_loss_picture(history, best)]
    pictures += [_validation_picture(history, best, metric) for metric in ("ndcg@10", "hr@10")]
    pictures = [picture for picture in pictures if picture]
    return Section("training", "Training", [Paragraph(text), Pictures(pictures)])


def duration(seconds: float) -> str:
    """Formats seconds, e.g. `2 min 5 s`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _loss_picture(history, best):
    found = [name for name in _LOSSES if all(name in entry for entry in history)]
    if not found:
        return None
    values = {_LOSSES[name]: [entry[name] for entry in history] for name in found}
    total = next(iter(values.values()))
    sentence = (
        f"The training loss goes from {number(total[0], 3)} after the first epoch to "
        f"{number(total[-1], 3)} after the last."
        if len(history) > 1
        else f"After the only epoch the training loss is {number(total[0], 3)}."
    )
    return _epochs_picture("losses", "Training losses", sentence, values, best, history)


def _validation_picture(history, best, metric):
    ending = f"_{metric}"
    keys = [k for k in history[0] if k.startswith("val_") and k.endswith(ending)]
    values = {
        title_of(key.removeprefix("val_").removesuffix(ending)): [e[key] for e in history]
        for key in keys
        if all(key in entry for entry in history)
    }
    if not values:
        return None
    name = metric.upper()
    highest = [f"epoch {int(np.argmax(v)) + 1} ({label})" for label, v in values.items()]
    sentence = f"{name} on validation is highest after {listed(highest)}; epoch {best} is kept."
    title = f"{name} on validation"
    anchor = f"validation-{metric.split('@')[0]}"
    return _epochs_picture(anchor, title, sentence, values, best, history)


def _epochs_picture(name, title, sentence, values, best, history):
    epochs = [entry["epoch"] for entry in history]
    curves = {label: (epochs, each) for label, each in values.items()}
    mark = (best, f"kept: {best}")
    svg = lines(name, (title, sentence), curves, "epoch", mark=mark, bottom=0)
    rows = [
        [f"epoch {epoch}", *(number(each[row]) for each in values.values())]
        for row, epoch in enumerate(epochs)
    ]
    return Picture(title, svg, sentence, Table(title, ["", *values], rows))


def behavior_section(run: OpenedRun, predictions: BehaviorPredictions) -> Section:
    """Builds the section about the behaviour head: its confusions and its calibration."""
    names = [shown(name) for name in run.behavior_names]
    confusion = predictions.confusion()
    events = int(confusion.sum())
    usual = int(confusion.sum(axis=1).argmax())
    share = confusion[usual].sum() / events
    drawn = "" if events == predictions.held_out else f" ({events:,} of them, drawn at random)"
    text = (
        f"The head is tested on the {predictions.held_out:,} events that training never "
        f"saw{drawn}: those of each evaluated user from the validation answer on. It predicts each "
        "behaviour from the preceding events and from the item of the event, as in Eq. 16."
    )
    if run.config.split.holdout == "target":
        target = shown(run.dataset.behaviors.target)
        text += f" The held-out part of a user begins with a {target} event, so these are more"
        text += " frequent here than in the log."
    verdict = (
        f"{percent(predictions.accuracy)} of the behaviours are predicted correctly; always "
        f"predicting {names[usual]} would be correct for {percent(float(share))}. "
        f"{_confused(confusion, names)}"
    )
    blocks = [Paragraph(text), _confusion_table(confusion, names), Paragraph(verdict)]
    return Section(
        "behavior", "What the user does next", [*blocks, Pictures([_calibration(predictions)])]
    )


def _confusion_table(confusion, names):
    totals = confusion.sum(axis=1)
    rows = []
    for row, name in enumerate(names):
        cells = []
        for column in range(len(names)):
            share = confusion[row, column] / totals[row] if totals[row] else 0.0
            text = percent(float(share)) if totals[row] else "–"
            note = f"{confusion[row, column]:,}"
            cells.append(Cell(text, heat=float(share), strong=row == column, note=note))
        rows.append([f"true {name}", f"{totals[row]:,}", *cells])
    columns = ["", "events", *(f"predicted {name}" for name in names)]
    caption = "True behaviours (rows) and predicted behaviours (columns); each row adds up to 100 %"
    return Table(caption, columns, rows)


def _confused(confusion, names):
    wrong = confusion * (1 - np.eye(len(names), dtype=int))
    if not wrong.any():
        return "No behaviour is mistaken for another."
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    share = percent(float(wrong[row, column] / confusion[row].sum()))
    taken = f"{names[column]} for {names[row]} ({share} of {names[row]} events)"
    return f"The most frequent mistake is to predict {taken}."


def _calibration(predictions):
    found = predictions.reliability()
    gap = float(np.sum(found.counts * (found.confidence - found.accuracy)) / found.counts.sum())
    too = "above" if gap > 0 else "below"
    title = "Calibration of the behaviour head"
    sentence = (
        f"The expected calibration error is {number(found.error, 3)}: on average, the confidence "
        f"is {number(abs(gap), 3)} {too} the accuracy. Marks and grey bars grow with the number of "
        "predictions."
    )
    parts = zip(found.confidence, found.accuracy, found.counts, strict=True)
    rows = [
        [
            f"{int(sure * 10) / 10:.1f} to {int(sure * 10) / 10 + 0.1:.1f}",
            number(sure, 3),
            number(right, 3),
            f"{count:,}",
        ]
        for sure, right, count in parts
    ]
    columns = ["confidence", "mean confidence", "accuracy", "predictions"]
    svg = reliability(
        "calibration", (title, sentence), found.confidence, found.accuracy, found.counts
    )
    return Picture(title, svg, sentence, Table(title, columns, rows))


def gates_section(run: OpenedRun) -> Section | None:
    """Builds the section about the ReZero gammas; None if the model has none."""
    layers = run.layers_of(ReZero)
    if not layers:
        return None
    names = [shown(name) for name in run.behavior_names]
    gammas = np.stack([ops.convert_to_numpy(layer.gamma) for layer in layers])
    rows, cells = [], []
    for block, row in enumerate(gammas):
        group = f"block {block + 1}" if len(gammas) > 1 else ""
        for series, (name, gamma) in enumerate(zip(names, row, strict=True)):
            rows.append(Interval(name, float(gamma), series=series, group=group))
            cells.append([f"block {block + 1}, {name}", number(float(gamma), 4)])
    block, behavior = np.unravel_index(np.abs(gammas).argmax(), gammas.shape)
    where = f" in block {block + 1}" if len(gammas) > 1 else ""
    sentence = (
        f"Gammas start at 0 and end between {gammas.min():+.3f} and {gammas.max():+.3f}; the "
        f"furthest from 0 is that of {names[behavior]}{where} ({gammas[block, behavior]:+.3f})."
    )
    title = "ReZero gammas by behaviour"
    svg = intervals("gammas", (title, sentence), rows, "gamma", zero=True)
    text = (
        "Around each behaviour encoder there is a skip connection with a learned scale, gamma "
        "(Eq. 8): at 0 only the encoder's output is passed on, at 1 its input is added in full."
    )
    picture = Picture(title, svg, sentence, Table(title, ["", "gamma"], cells))
    return Section("gates", "Skip connections", [Paragraph(text), Pictures([picture])])
