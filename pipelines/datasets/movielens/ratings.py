"""Parses the rating files of MovieLens, in the three published formats."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipelines.runtime.errors import InputError

_COLUMNS = {
    "userId": pa.int64(),
    "movieId": pa.int64(),
    "rating": pa.float64(),
    "timestamp": pa.int64(),
}


def parse_ratings(content: bytes, file_name: str, label: str) -> dict[str, np.ndarray]:
    """Parses a rating file.

    Args:
        content: the bytes of the file.
        file_name: decides the format: `u.data` is separated by tabs, `*.dat` by `::`, and `*.csv`
            by commas, with a header line.
        label: the name of the file in messages.

    Returns:
        `userId`, `movieId` and `timestamp`, int64 `[events]`, and `rating`, float64 `[events]`, in
        file order.

    Raises:
        InputError: if a column is missing or a value is invalid.
    """
    has_header = file_name.endswith(".csv")
    if file_name.endswith(".dat"):
        content = content.replace(b"::", b"\t")
    if not content.strip():
        raise InputError(f"{label} is empty.")
    try:
        table = pa.csv.read_csv(
            io.BytesIO(content),
            pa.csv.ReadOptions(
                column_names=None if has_header else list(_COLUMNS), encoding="latin1"
            ),
            pa.csv.ParseOptions(delimiter="," if has_header else "\t", quote_char=False),
            pa.csv.ConvertOptions(column_types=_COLUMNS),
        )
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"{label} does not hold numbers for {', '.join(_COLUMNS)} ({reason})."
        ) from error
    if table.column_names != list(_COLUMNS):
        raise InputError(
            f"{label} must have the columns {', '.join(_COLUMNS)}, got "
            f"{', '.join(table.column_names)}."
        )
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            raise InputError(f"{label}: the column {name} has missing values.")
    columns = {name: table[name].to_numpy() for name in _COLUMNS}
    if not len(columns["rating"]):
        raise InputError(f"{label} is empty.")
    bad = np.flatnonzero(~((columns["rating"] > 0) & (columns["rating"] <= 5)))
    if len(bad):
        raise InputError(
            f"{label}: ratings must be above 0 and at most 5, got {columns['rating'][bad[0]]} in "
            f"rating {bad[0] + 1}."
        )
    return columns
