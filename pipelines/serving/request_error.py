"""The error for requests that the caller can correct."""

_LONGEST = 500


class RequestError(Exception):
    """A request that cannot be answered.

    Args:
        code: name of a gRPC status, for instance `"NOT_FOUND"`.
        message: what is wrong, in one sentence; see `sendable`.
    """

    def __init__(self, code: str, message: str):
        message = sendable(message)
        super().__init__(message)
        self.code = code
        self.message = message


def sendable(text: str) -> str:
    """Returns any text as valid UTF-8 that is short enough for gRPC's status."""
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
