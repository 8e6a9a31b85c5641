"""Text for the terminal: makes control characters visible and refuses what is not text."""

from __future__ import annotations

import unicodedata

from pipelines.runtime.errors import InputError

# Control and format characters, lone surrogates, and line and paragraph separators.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"  # Persian words and joined emoji need them


def printable(text: str) -> str:
    r"""Returns text whose control characters are written as escapes.

    They could move the cursor, change colours or reverse the direction of a line.

    ```python
    printable("red\x1b[31m")  # r"red\x1b[31m"
    ```
    """
    return "".join(map(_visible, text))


def check_text(text: str, what: str) -> None:
    """Checks that text from the command line, the environment or a file system is UTF-8.

    Python keeps other bytes as lone surrogates, which cannot be written to a file later.

    Args:
        text: the text, as Python provides it.
        what: what the text is, for the message.

    Raises:
        InputError: if it is not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{what} '{printable(text)}' is not UTF-8 text; rename it or write it in UTF-8."
        ) from None


def _visible(character):
    if unicodedata.category(character) not in _HIDDEN or character in _JOINERS:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # Python's form of a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode()
