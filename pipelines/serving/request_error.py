"""The error that means: the one who asked can mend this."""


class RequestError(Exception):
    """A request that cannot be answered.

    Args:
        code: name of a gRPC status, for instance `"NOT_FOUND"`.
        message: what is wrong, in one sentence.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message
