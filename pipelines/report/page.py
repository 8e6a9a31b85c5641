"""Renders sections as one self-contained HTML file."""

from __future__ import annotations

import datetime
from pathlib import Path

import jinja2
from markupsafe import Markup

from pipelines.report.elements import Section
from pipelines.runtime.errors import InputError
from pipelines.storage.artefacts import written_at_once


def render(title: str, subtitle: str, summary: list, sections: list[Section]) -> str:
    """Renders the page.

    Args:
        title: what it is about.
        subtitle: details, in one line.
        summary: blocks above the table of contents.
        sections: in order.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["markup"] = Markup  # only for pictures
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return environment.get_template("page.html").render(
        title=title, subtitle=subtitle, summary=summary, sections=sections, now=now
    )


def check_place(path: Path) -> None:
    """Checks, before any work is done, that a page can be written.

    Raises:
        InputError: if it cannot.
    """
    if path.is_dir():
        raise InputError(f"{path} is a directory; name a file for the page.")
    try:
        with written_at_once(path.with_name(path.name + ".check")) as temporary:
            temporary.touch()
        path.with_name(path.name + ".check").unlink()
    except OSError as error:
        raise _not_writable(path, error) from error


def write(page: str, path: Path) -> None:
    """Writes the page atomically.

    Raises:
        InputError: if it cannot be written.
    """
    try:
        with written_at_once(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise _not_writable(path, error) from error


def _not_writable(path, error):
    return InputError(f"{path} cannot be written ({error.strerror}); choose another --output.")
