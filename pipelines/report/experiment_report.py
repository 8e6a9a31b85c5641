"""The report of an experiment, followed by that of its reference's first run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from pipelines.description.numbers import counted
from pipelines.report.elements import (
    Cell,
    Heading,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Table,
    Tiles,
    listed,
    number,
    shown,
)
from pipelines.report.experiment import Experiment, read_experiment
from pipelines.report.model_sections import duration
from pipelines.report.page import render
from pipelines.report.pictures import Interval, intervals, lines
from pipelines.report.result_sections import title_of
from pipelines.report.run_report import add_one_run, is_whole
from pipelines.training.validation import MONITORED

_METRICS = ("hr@10", "ndcg@10")


def experiment_report(
    path: str | os.PathLike, data_dir: str | None = None, user: str | None = None
) -> str:
    """Renders the report of an experiment.

    Args:
        path: its directory.
        data_dir: where the dataset's raw files are now, if they have moved.
        user: the log's id of the user to follow through the reference's first run.

    Raises:
        InputError: if the experiment is not finished, or its reference's run cannot be opened.
    """
    experiment = read_experiment(Path(path))
    summary, sections = experiment_sections(experiment)
    run, name = _reference_run(experiment), shown(experiment.reference)
    add_one_run(sections, experiment.path, run, name, data_dir, user)
    settings = experiment.settings
    seeds = ", ".join(map(str, settings.get("seeds", [])))
    title = f"{settings.get('suite', experiment.path.name)} on {settings.get('dataset', '')}"
    return render(
        shown(title), f"{len(experiment.variants)} variants, seeds {seeds}", summary, sections
    )


def _reference_run(experiment):
    """Returns the directory of the reference's first complete run; None if there is none."""
    runs = (training.run for training in experiment.variant(experiment.reference).trainings)
    return next((run for run in runs if run and is_whole(run)), None)


def experiment_sections(experiment: Experiment) -> tuple[list, list[Section]]:
    """Returns the summary and the sections of the experiment itself."""
    variants = Section("variants", "The variants", _variants(experiment))
    differences = Section("differences", "Differences from the reference", _differences(experiment))
    curves = Section("trainings", "All trainings", _trainings(experiment))
    return _summary(experiment), [variants, differences, curves]


def _summary(experiment):
    reference = experiment.variant(experiment.reference)
    tiles, sentences = [], []
    for protocol in experiment.protocols:
        values = reference.values(protocol, "ndcg@10")
        if len(values):
            note = f"{shown(reference.name)}, NDCG@10, ± {_deviation(values)}"
            tiles.append((number(values.mean(), 3), title_of(protocol), note))
        sentences.append(_ranking(experiment, protocol))
    return [Tiles(tiles), *map(Paragraph, filter(None, sentences))]


def _ranking(experiment, protocol):
    """Says which variant is best, and which are clearly above or below the reference."""
    means = {v.name: v.values(protocol, "ndcg@10") for v in experiment.variants}
    means = {name: float(values.mean()) for name, values in means.items() if len(values)}
    if not means:
        return ""
    best = max(means, key=means.get)
    found = {
        name: protocols[protocol]["ndcg@10"]
        for name, protocols in experiment.differences.items()
        if "ndcg@10" in protocols.get(protocol, {})
    }
    signs = {
        "above": [name for name, each in found.items() if each["low"] > 0],
        "below": [name for name, each in found.items() if each["high"] < 0],
    }
    parts = [
        f"clearly {sign} {listed([f'“{shown(name)}”' for name in names])}"
        for sign, names in signs.items()
        if names
    ]
    unclear = len(found) - sum(map(len, signs.values()))
    if unclear:
        parts.append(f"not clearly different from {counted(unclear, 'variant')}")
    text = f"{title_of(protocol).capitalize()}: “{shown(best)}” has the highest NDCG@10"
    text += f" ({number(means[best], 3)})."
    rules = [v.name for v in experiment.variants if not v.is_trained and v.name in means]
    if rules and best not in rules:
        rule = max(rules, key=means.get)
        text += f" The best simple rule is “{shown(rule)}” ({number(means[rule], 3)})."
    return f"{text} “{shown(experiment.reference)}” is {'; '.join(parts)}." if parts else text


def _variants(experiment):
    columns = ["", *(f"{title_of(p)}, {m.upper()}" for p in experiment.protocols for m in _METRICS)]
    keys = [(p, m) for p in experiment.protocols for m in _METRICS]
    means = {
        key: [
            v.values(*key).mean() if v.values(*key).size else -np.inf for v in experiment.variants
        ]
        for key in keys
    }
    rows = []
    for place, variant in enumerate(experiment.variants):
        role = "reference" if variant.name == experiment.reference else ""
        row = [Cell(shown(variant.name), strong=bool(role), note=role)]
        for key in keys:
            values = variant.values(*key)
            if not values.size:
                row.append("–")
                continue
            strong = place == int(np.argmax(means[key]))
            row.append(Cell(number(values.mean()), strong=strong, note=f"± {_deviation(values)}"))
        rows.append(row)
    caption = "Test: mean and standard deviation over the seeds; the best of each column is bold"
    text = (
        "The standard deviation is over trainings that differ only in the seed; for baselines, "
        "over draws of the negatives."
    )
    return [Table(caption, columns, rows), Paragraph(text), _changes(experiment)]


def _changes(experiment):
    rows = []
    for variant in experiment.variants:
        changes = [f"{shown(key)} = {_setting(value)}" for key, value in variant.changes.items()]
        trained = [t for t in variant.trainings if t.epochs is not None]
        epochs = ", ".join(f"{t.best_epoch} of {t.epochs}" for t in trained) or "not trained"
        seconds = [t.seconds for t in trained if t.seconds is not None]
        took = duration(float(np.mean(seconds))) if seconds else "–"
        rows.append(
            [
                shown(variant.name),
                "; ".join(changes) or ("none" if trained else "–"),
                epochs,
                took,
            ]
        )
    columns = ["", "changed settings", "epoch kept, by seed", "time per training"]
    return Table("What each variant is", columns, rows, words=True)


def _setting(value):
    """Formats a setting, e.g. `view 0.1, buy 1.0` for a dict."""
    if isinstance(value, dict):
        return ", ".join(f"{shown(key)} {shown(each)}" for key, each in value.items())
    return shown(value)


def _deviation(values):
    """Formats the standard deviation of a sample; a dash for a single value."""
    return number(values.std(ddof=1)) if len(values) > 1 else "–"


def _differences(experiment):
    text = (
        f"{shown(experiment.reference)} minus each variant, with paired-bootstrap 95 % intervals "
        "over the test questions: right of 0 the reference is better, and if the interval excludes "
        "0, the choice of users does not explain the difference."
    )
    pictures = [_forest(experiment, metric) for metric in reversed(_METRICS)]
    pictures = [picture for picture in pictures if picture]
    if not pictures:
        return [Paragraph("There is nothing to compare the reference with.")]
    return [Paragraph(text), Pictures(pictures)]


def _forest(experiment, metric):
    rows, cells, verdicts = [], [], {"above": 0, "below": 0, "unclear": 0}
    for protocol in experiment.protocols:
        for variant in experiment.variants:
            each = experiment.differences.get(variant.name, {}).get(protocol, {}).get(metric)
            if not each:
                continue
            bounds = (each["difference"], each["low"], each["high"])
            verdict = "above" if each["low"] > 0 else "below" if each["high"] < 0 else "unclear"
            verdicts[verdict] += 1
            look = {"above": 0, "unclear": 7, "below": 1}[verdict]
            rows.append(Interval(shown(variant.name), *bounds, look, title_of(protocol)))
            span = f"{each['low']:+.4f} to {each['high']:+.4f}"
            name = f"{title_of(protocol)}, {shown(variant.name)}"
            cells.append([name, f"{each['difference']:+.4f}", span])
    if not rows:
        return None
    title = f"{metric.upper()}: reference minus variant"
    sentence = (
        f"Of {counted(len(rows), 'comparison')}, the reference is clearly better in "
        f"{verdicts['above']}, clearly worse in {verdicts['below']} and not clearly different in "
        f"{verdicts['unclear']}."
    )
    name = f"forest-{metric.split('@')[0]}"
    svg = intervals(
        name, (title, sentence), rows, f"difference in {metric.upper()}", zero=True, digits=4
    )
    return Picture(title, svg, sentence, Table(title, ["", "difference", "95 %"], cells))


def _trainings(experiment):
    pictures = []
    for number_, variant in enumerate(experiment.variants):
        histories = {t.seed: t.history for t in variant.trainings if t.history}
        if histories:
            pictures.append(_training_picture(number_, variant.name, histories, _top(experiment)))
    if not pictures:
        return [Paragraph("This directory holds no trainings.")]
    return [Heading("Validation score by epoch, one curve per seed"), Pictures(pictures)]


def _top(experiment):
    """Returns the best validation score of all trainings, for a common scale."""
    histories = [t.history for v in experiment.variants for t in v.trainings if t.history]
    return max(entry[MONITORED] for history in histories for entry in history)


def _training_picture(place, name, histories, top):
    curves = {
        f"seed {seed}": ([e["epoch"] for e in history], [e[MONITORED] for e in history])
        for seed, history in histories.items()
    }
    bests = [max(scores) for _, scores in curves.values()]
    epochs = [len(scores) for _, scores in curves.values()]
    title = shown(name)
    sentence = (
        f"The best validation scores range from {number(min(bests), 3)} to "
        f"{number(max(bests), 3)}, within {min(epochs)} to {max(epochs)} epochs."
        if len(curves) > 1
        else f"The best validation score is {number(bests[0], 3)}, "
        f"within {counted(epochs[0], 'epoch')}."
    )
    texts = (f"Validation score, {title}", sentence)
    svg = lines(f"training-{place}", texts, curves, "epoch", bottom=0, top=1.08 * top)
    rows = [
        [
            f"epoch {epoch + 1}",
            *(number(s[epoch]) if epoch < len(s) else "–" for _, s in curves.values()),
        ]
        for epoch in range(max(epochs))
    ]
    return Picture(title, svg, sentence, Table(texts[0], ["", *curves], rows))
