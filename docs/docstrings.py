"""What is peculiar to the docstrings here, put as Griffe reads it."""

from __future__ import annotations

import re
import textwrap

import griffe

_CALL_ARGUMENTS = re.compile(r"^Call arguments:$", re.MULTILINE)
_EXAMPLE = re.compile(r"^Example:\n\n(>>> .*?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


class Sections(griffe.Extension):
    """Makes sections of the arguments of `call`, and of the examples, which are not indented."""

    def on_object(self, *, obj, **_):
        """Changes the docstring that Griffe will parse."""
        if not obj.docstring:
            return
        text = _CALL_ARGUMENTS.sub("Other Parameters: Call arguments", obj.docstring.value)
        obj.docstring.value = _EXAMPLE.sub(_as_section, text)


def _as_section(match):
    return "Examples:\n" + textwrap.indent(match[1], "    ")
