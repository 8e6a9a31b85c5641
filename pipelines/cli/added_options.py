"""Groups of options that a command receives as one argument."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def add_options(
    command: Callable, name: str, options: Mapping[str, tuple[Any, Any]], make: Callable
) -> Callable:
    """Returns a command that takes options in place of one of its arguments.

    Args:
        command: a function with annotations for Typer.
        name: the argument to replace.
        options: annotation for Typer and default value of each option, by name.
        make: makes the argument from the options' values by name.
    """

    @functools.wraps(command)
    def with_options(**arguments):
        values = {option: arguments.pop(option) for option in options}
        return command(**arguments, **{name: make(values)})

    added = [_parameter(option, *of) for option, of in options.items()]
    parameters = []
    for own, parameter in inspect.signature(command).parameters.items():
        if own == name:
            parameters += added
            continue
        annotation = parameter.annotation
        if isinstance(annotation, str):
            annotation = eval(annotation, command.__globals__)
        parameters.append(_parameter(own, annotation, parameter.default))
    with_options.__signature__ = inspect.Signature(parameters)
    with_options.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_options


def _parameter(name, annotation, default):
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)
