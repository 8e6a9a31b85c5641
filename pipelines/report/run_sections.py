"""Sections about how a run was made: its data, settings, hardware and versions."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex

from pipelines.description.numbers import QUANTILES, Description, compact, counted
from pipelines.report.elements import (
    Code,
    Heading,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Table,
    number,
    percent,
    shown,
)
from pipelines.report.opened_run import OpenedRun
from pipelines.report.pictures import Interval, histogram, intervals

_PACKAGES = ("hmar-keras", "keras", "tensorflow", "jax", "numpy", "scipy", "matplotlib")


def data_section(description: Description) -> Section:
    """Builds the section about the dataset."""
    d = description
    time = f"{d.timeline.first_date} to {d.timeline.last_date} UTC"
    if not d.timeline.unit:
        time = f"{d.timeline.first} to {d.timeline.last}, in the source's unit"
    text = (
        f"{shown(d.name)}: {counted(d.events, 'event')} of {counted(d.users, 'user')} on "
        f"{counted(d.items, 'item')}, {d.items_with_events:,} of which have events. Time: {time}; "
        f"{percent(d.ties.rate)} of events share their time with another event of the same user. "
        f"{percent(d.repeats.rate)} of {shown(d.target)} events are on an item the user had "
        f"touched before. The most popular 1 % of items have {percent(d.top_items['1%'])} of the "
        f"events. There are {d.evaluation.validation:,} validation and "
        f"{counted(d.evaluation.test, 'test question')}."
    )
    pictures = Pictures([_behaviors_picture(d), _lengths_picture(d)])
    return Section("data", "The data", [Paragraph(text), pictures, _quantiles(d)])


def _behaviors_picture(d):
    shares = {name: count / d.events for name, count in d.events_by_behavior.items()}
    rows = [
        Interval(shown(name), share, series=i) for i, (name, share) in enumerate(shares.items())
    ]
    most = max(shares, key=shares.get)
    sentence = (
        f"{shown(most)} makes up {percent(shares[most])} of all events, the target "
        f"{shown(d.target)} {percent(shares[d.target])}."
    )
    cells = [
        [
            shown(f"{name} (target)" if name == d.target else name),
            f"{count:,}",
            percent(count / d.events),
            number(count / d.users, 1),
            percent(d.repeats.preceded_by[name]),
        ]
        for name, count in d.events_by_behavior.items()
    ]
    title = "Events by behaviour"
    columns = ["", "events", "share", "per user", f"before {shown(d.target)}"]
    svg = intervals("data-behaviors", (title, sentence), rows, "share of all events")
    return Picture(title, svg, sentence, Table(title, columns, cells))


def _lengths_picture(d):
    per_user = d.events_per_user
    low, middle, high = (compact(per_user.quantiles[name]) for name in ("10%", "50%", "90%"))
    sentence = (
        f"Half of the users have up to {middle} events, the middle 80 % from {low} to {high}."
    )
    title = "Users by number of events"
    parts = zip(per_user.edges, per_user.edges[1:], per_user.counts, strict=False)
    rows = [[f"{a:,} to {b - 1:,}", f"{count:,}"] for a, b, count in parts]
    svg = histogram(
        "data-lengths",
        (title, sentence),
        per_user.edges,
        per_user.counts,
        "events per user (log scale)",
    )
    return Picture(title, svg, sentence, Table(title, ["events", "users"], rows))


def _quantiles(d):
    kinds = {
        "events per user": d.events_per_user,
        f"{shown(d.target)} per user": d.targets_per_user,
        "events per item": d.events_per_item,
    }
    rows = [
        [label, *map(compact, each.quantiles.values()), f"{each.mean:,.1f}"]
        for label, each in kinds.items()
    ]
    return Table("Quantiles", ["", *QUANTILES, "mean"], rows)


def settings_section(run: OpenedRun) -> Section:
    """Builds the section with settings, hardware, versions and a command to train again."""
    blocks = [
        Paragraph("This command repeats the training; on the same hardware, bit for bit:"),
        Code(training_command(run)),
        *_settings_tables(run.config),
        Heading("Hardware and versions"),
        _hardware_table(run.settings.get("hardware", [])),
        _versions_table(run.settings),
    ]
    return Section("settings", "How it was made", [block for block in blocks if block])


def training_command(run: OpenedRun) -> str:
    """Returns an `hmar train` command with the settings of the run."""
    settings = run.settings
    words = ["hmar", "train"]
    if settings.get("log"):
        words += _log_options(settings["log"])
    else:
        words += ["--dataset", settings["dataset"]]
        if settings.get("data_dir"):
            words += ["--data-dir", settings["data_dir"]]
    words += ["--config", str(run.directory.path / "config.json"), "--seed", str(settings["seed"])]
    used = settings["hardware"][-1] if settings.get("hardware") else {}
    for option, usual in (("devices", 1), ("precision", "float32")):
        if used.get(option, usual) != usual:
            words += [f"--{option}", str(used[option])]
    backend, on_device = used.get("backend", "tensorflow"), used.get("data_on_device", False)
    if backend == "jax":
        words = ["KERAS_BACKEND=jax", *words]
        alone_on_gpu = used["accelerator"] and used["devices"] == 1
        if on_device != alone_on_gpu:
            words.append("--data-on-device" if on_device else "--no-data-on-device")
    return shlex.join(shown(word, 1000) for word in words)


def _log_options(log):
    words = []
    for name, value in log.items():
        option = "--log" if name == "files" else "--" + name.replace("_", "-")
        if name == "files":
            words += [word for file in value for word in (option, file)]
        elif name == "labels":
            words += [option, ",".join("=".join(pair) for pair in value)] if value else []
        elif name == "repeats":
            words += [] if value is None else [option if value else "--no-repeats"]
        elif isinstance(value, bool):
            words += [option] if value else []
        elif isinstance(value, list):
            words += [option, ",".join(value)] if value else []
        elif value is not None and not (name.startswith("min_") and value == 1):
            words += [option, str(value)]
    return words


def _settings_tables(config):
    """Builds the tables of changed settings and of all settings."""
    usual = config.defaults()
    rows = []
    for name, value in config.to_dict().items():
        if name == "behaviors":
            value = f"{', '.join(map(shown, value['names']))}; target {shown(value['target'])}"
        elif isinstance(value, dict):
            value = ", ".join(f"{shown(key)} {each:g}" for key, each in value.items())
        other = name in usual and value != usual[name]
        rows.append([name, str(value), str(usual[name]) if other else ""])
    columns = ["setting", "value", "default, where it differs"]
    changed = [row for row in rows if row[2]]
    return [
        Table("Settings that differ from the defaults", columns, changed, words=True),
        Table("All settings", columns, rows, words=True, folded=True),
    ]


def _hardware_table(hardware):
    if not hardware:
        return None
    columns = list(hardware[-1])
    rows = [[str(used.get(name, "–")) for name in columns] for used in hardware]
    headings = [name.replace("_", " ") for name in columns]
    return Table("What the training ran on", headings, rows, words=True)


def _versions_table(settings):
    rows = [[name.replace("_", "-"), version, ""] for name, version in settings["versions"].items()]
    trained = {row[0]: row for row in rows}
    installed = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    for name, version in installed.items():
        if name in trained:
            trained[name][2] = version
        else:
            rows.append([name, "–", version])
    return Table("Versions", ["", "training", "this report"], rows, words=True)
