"""The error that means: the user can mend this."""


class InputError(ValueError):
    """Bad input or environment, in one sentence that says what is wrong and what to do.

    The command line prints the message without a traceback and exits with status 2.
    """
