"""Reads a log from the text files of the authors' release of HMAR.

Each line is an event, `user item behaviour`, with 1-based numbers. Lines are in chronological
order and have no times. A list holds each user's official test item or None, as in the CSR form.
"""

from __future__ import annotations

import codecs
import re
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.numbered_log import MOST_ITEMS, group_numbered, held_out_item_ids
from pipelines.datasets.numeric_pickle import load_numeric_pickle
from pipelines.datasets.raw_files import RawFiles
from pipelines.runtime.errors import InputError

_FIELDS = ("user", "item", "behavior")


def read_text_log(
    name: str,
    behaviors: Behaviors,
    repeats: bool,
    files: RawFiles,
    log: str,
    held_out: str,
) -> InteractionDataset:
    """Reads a log.

    Users and items are named by their number in the file minus one, as in the CSR form of the same
    log. Numbers that do not occur are items too, up to the largest in the log and the list. Users
    are those with an event or a test item. The time of an event is its 0-based position among all
    events of the file. The first line is a header unless it begins with two whole numbers.

    The log may contain the test answers: the release removes each user's last event of the target
    behaviour, tests on that event, and uses its list only to say which users are tested. So if a
    listed user's last target event is on the listed item, that event is the answer. It is removed
    together with everything the user did after it: the question is what comes next, and later
    events would leak the future. If it is on another item, the answer is not in the log, and the
    user's events stay unchanged, as in the CSR form. A warning gives the number of later events
    that are left out.

    Args:
        name: name of the dataset.
        behaviors: the behaviours, weak to strong.
        repeats: whether an item that the user already knows may be the answer.
        files: source of the log and the list.
        log: file name of the log.
        held_out: file name of the list of test items.

    Raises:
        InputError: if a file cannot be read or does not have the expected content.
    """
    tests = load_numeric_pickle(files.read(held_out), files.label(held_out))
    held_out_items = held_out_item_ids(files.label(held_out), tests)
    users, item_ids, behavior_ids = parse_events(
        files.read(log), files.label(log), behaviors, len(held_out_items)
    )
    num_items = int(max(item_ids.max(), held_out_items.max()))
    is_target = behavior_ids == behaviors.target_id
    answers = _answers(users, item_ids, is_target, held_out_items)
    ends = np.full(len(held_out_items), len(users))
    ends[users[answers]] = answers
    timestamps = np.flatnonzero(np.arange(len(users)) < ends[users])
    later = len(users) - len(timestamps) - len(answers)
    if later:
        warnings.warn(
            f"{name}: {later:,} events after the test answer of their user are left out.",
            stacklevel=2,
        )
    order = np.argsort(users[timestamps], kind="stable")
    timestamps = timestamps[order]
    return group_numbered(
        name,
        behaviors,
        repeats,
        users=users[timestamps],
        item_ids=item_ids[timestamps],
        behavior_ids=behavior_ids[timestamps],
        timestamps=timestamps,
        held_out_items=held_out_items,
        num_items=num_items,
    )


def parse_events(
    content: bytes, label: str, behaviors: Behaviors, num_users: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parses the lines of a log.

    Args:
        content: the bytes of the file.
        label: the name of the file in messages.
        behaviors: the behaviours that may occur.
        num_users: the largest user number.

    Returns:
        0-based users, item ids from 1 and behaviour ids, int32 `[events]`, in file order.

    Raises:
        InputError: if there is no event or a line is invalid; names the first invalid line.
    """
    content = _single_blanks(content.removeprefix(codecs.BOM_UTF8))
    if not content:
        raise InputError(f"{label} is empty; it must have a line `user item behaviour` per event.")
    end = content.find(b"\n")
    start = (content if end < 0 else content[:end]).split(b" ")[:2]
    has_header = any(start) and not all(re.fullmatch(rb"[+-]?\d+", field) for field in start)
    if has_header and end < 0:
        raise InputError(f"{label} has no events, only a header line.")
    columns = _read_columns(content, has_header, behaviors)
    # Arrow accepts 0x10 as a whole number.
    hexadecimal = any(prefix in content for prefix in (b"\n0x", b"\n0X", b" 0x", b" 0X"))
    if columns is None or hexadecimal or not _in_range(columns, num_users):
        raise InputError(_first_fault(content, label, has_header, behaviors, num_users))
    users, item_ids, behavior_ids = columns
    return users - 1, item_ids, behavior_ids


def _single_blanks(content):
    """Returns the same lines with newlines between them and single blanks between fields."""
    content = content.rstrip()
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\t" in content:
        content = content.replace(b"\t", b" ")
    if content.startswith(b" ") or any(odd in content for odd in (b"  ", b" \n", b"\n ")):
        content = re.sub(rb" +", b" ", content)
        content = content.replace(b" \n", b"\n").replace(b"\n ", b"\n").lstrip(b" ")
    return content


def _read_columns(content, has_header, behaviors):
    """Returns the three columns as in the file; None if a line does not have this form."""
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(content),
            pa.csv.ReadOptions(column_names=list(_FIELDS), skip_rows=int(has_header)),
            pa.csv.ParseOptions(delimiter=" ", quote_char=False, ignore_empty_lines=False),
            pa.csv.ConvertOptions(
                column_types=dict(zip(_FIELDS, (pa.int32(), pa.int32(), pa.string()), strict=True)),
                null_values=[],
            ),
        )
    except pa.ArrowInvalid:
        return None
    places = pa.compute.index_in(table["behavior"], value_set=pa.array(behaviors.names))
    if places.null_count:
        return None
    return table["user"].to_numpy(), table["item"].to_numpy(), places.to_numpy() + np.int32(1)


def _in_range(columns, num_users):
    users, item_ids, _ = columns
    from_one = users.min() >= 1 and item_ids.min() >= 1
    return from_one and users.max() <= num_users and item_ids.max() <= MOST_ITEMS


def _first_fault(content, label, has_header, behaviors, num_users):
    """Returns the error message for the first invalid line."""
    limits = {"user": f"{num_users}, the length of the list of test items", "item": f"{MOST_ITEMS}"}
    for number, line in enumerate(content.split(b"\n"), start=1):
        if number == 1 and has_header:
            continue
        where = f"{label}, line {number}"
        if not line.isascii():
            return f"{where}: there are bytes that are not ASCII text; use the official file."
        fields = line.decode().split(" ") if line else []
        if len(fields) != len(_FIELDS):
            return f"{where}: there must be 3 fields, `user item behaviour`, got {len(fields)}."
        for what, most, text in zip(limits, (num_users, MOST_ITEMS), fields, strict=False):
            if not text.isdigit() or not 1 <= int(text[:19]) <= most:
                return (
                    f"{where}: the {what} must be a whole number from 1 to {limits[what]}; got "
                    f"{text[:40]!r}."
                )
        if fields[2] not in behaviors.names:
            known = ", ".join(behaviors.names)
            return f"{where}: the behaviour must be one of {known}; got {fields[2][:40]!r}."
    return f"{label} does not hold lines of the form `user item behaviour`."


def _answers(users, item_ids, is_target, held_out_items):
    """Returns the rows of listed users' last target events that are on the listed item."""
    last = np.full(len(held_out_items), -1)
    targets = np.flatnonzero(is_target)
    last[users[targets]] = targets  # a user's last assignment wins
    rows = last[(last >= 0) & (held_out_items > 0)]
    return rows[item_ids[rows] == held_out_items[users[rows]]]
