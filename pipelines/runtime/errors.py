"""The error that the user can fix."""

_LONGEST = 200


class InputError(ValueError):
    """Bad input or environment, in one sentence that says what is wrong and what to do.

    The command line prints the message without a traceback and exits with status 2.
    """


def in_one_line(error: BaseException) -> str:
    r"""Returns a library's error message as a part of a sentence, at most 200 characters long.

    Example:
        >>> in_one_line(OSError("no\n  such file."))
        'no such file'
    """
    return " ".join(str(error).split())[:_LONGEST].rstrip(".")
