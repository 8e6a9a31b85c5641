"""Options for a user's own log, in every command that takes a dataset."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.added_options import add_options
from pipelines.datasets.event_log.spec import LogSpec, parse_labels
from pipelines.runtime.errors import InputError

_PANEL = "Your own log"


def _option(help_, *names, **more):
    return typer.Option(*names, help=help_, rich_help_panel=_PANEL, **more)


_OPTIONS = {
    "log": Annotated[
        list[str] | None,
        _option(
            "File with one event per row: CSV, Parquet or JSON lines (CSV and JSON lines may be "
            "gzipped); a directory or a pattern for several. May be repeated."
        ),
    ],
    "user": Annotated[str | None, _option("Column of the user.")],
    "item": Annotated[str | None, _option("Column of the item.")],
    "behavior": Annotated[str | None, _option("Column of the behaviour: view, cart, buy, ...")],
    "time": Annotated[
        str | None,
        _option("Column of the time, numbers or dates. By default events are in row order."),
    ],
    "target": Annotated[str | None, _option("The behaviour to predict.")],
    "behaviors": Annotated[
        str | None,
        _option(
            "All behaviours, weak to strong: view,cart,buy. By default from the most to the "
            "least frequent, with the target last."
        ),
    ],
    "labels": Annotated[
        str | None,
        _option(
            "Names of the behaviours if --behavior holds codes, weak to strong: "
            "'0=view,1=cart,2=buy'"
        ),
    ],
    "rating": Annotated[
        str | None, _option("Column of ratings that --levels turns into behaviours.")
    ],
    "levels": Annotated[
        str | None, _option("Behaviours by rating, weak to strong: 'dislike<=2,neutral<4,like'")
    ],
    "columns": Annotated[
        str | None, _option("Names of all columns, for a CSV file without header: user,item,time")
    ],
    "events": Annotated[
        str | None,
        _option("For JSON lines with a list of events per line: the field that holds the list."),
    ],
    "min_item_count": Annotated[int, _option("Drop items with fewer events.", min=1)],
    "min_user_events": Annotated[int, _option("Drop users with fewer events.", min=1)],
    "keep_duplicates": Annotated[
        bool,
        _option("Keep rows that repeat user, item, behaviour and time.", "--keep-duplicates"),
    ],
    "skip_bad_rows": Annotated[
        bool, _option("Skip and count rows that cannot be read.", "--skip-bad-rows")
    ],
    "repeats": Annotated[
        bool | None,
        _option(
            "Whether an item of the user's history may be the answer. By default inferred from the "
            "log."
        ),
    ],
}
_DEFAULTS = {
    "min_item_count": 1,
    "min_user_events": 1,
    "keep_duplicates": False,
    "skip_bad_rows": False,
}
LOG_OPTIONS = {name: (each, _DEFAULTS.get(name)) for name, each in _OPTIONS.items()}


def takes_log(command):
    """Adds these options to a command, as its one argument `log`: a `LogSpec` or None.

    Raises:
        InputError: when the command is called, if the options do not fit together.
    """
    return add_options(command, "log", LOG_OPTIONS, log_of)


def log_of(values: dict) -> LogSpec | None:
    """Returns the `LogSpec` that the options describe; None if they name no log.

    Raises:
        InputError: if they do not fit together.
    """
    files = values.pop("log")
    if not files:
        given = [name for name, value in values.items() if value != _DEFAULTS.get(name)]
        if given:
            raise InputError(f"{_flag(given[0])} describes a log; name its file with --log.")
        return None
    for name in ("behaviors", "columns"):
        text = values[name]
        values[name] = tuple(part.strip() for part in text.split(",")) if text else ()
    values["labels"] = parse_labels(values["labels"]) if values["labels"] else ()
    missing = [name for name in ("user", "item") if values[name] is None]
    if missing:
        from pipelines.datasets.event_log.files import column_names

        columns = values["columns"] or column_names(files[0])
        raise InputError(
            f"{files[0]} needs a column for the {missing[0]}; name it with {_flag(missing[0])}, "
            f"one of {', '.join(columns)}."
        )
    return LogSpec(files=tuple(files), **values)


def _flag(name):
    return "--" + name.replace("_", "-")
