"""A Griffe extension for this project's docstring sections that Griffe does not know."""

from __future__ import annotations

import re
import textwrap

import griffe

_CALL_ARGUMENTS = re.compile(r"^Call arguments:$", re.MULTILINE)
_EXAMPLE = re.compile(r"^Example:\n\n(>>> .*?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


class Sections(griffe.Extension):
    """Turns the arguments of `call`, and examples that are not indented, into sections."""

    def on_object(self, *, obj, **_):
        """Rewrites the docstring before Griffe parses it."""
        if not obj.docstring:
            return
        text = _CALL_ARGUMENTS.sub("Other Parameters: Call arguments", obj.docstring.value)
        obj.docstring.value = _EXAMPLE.sub(_as_section, text)


def _as_section(match):
    return "Examples:\n" + textwrap.indent(match[1], "    ")
