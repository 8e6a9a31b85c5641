"""A client for `hmar serve` and TensorFlow Serving, over REST or gRPC."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.runtime.errors import InputError
from pipelines.serving.transports import GrpcTransport, RestTransport, ServerError

DEFAULT_REST = "http://127.0.0.1:8501"

History = Sequence[tuple[str, str]]


class Client:
    """A model on a server.

    REST needs nothing but Python; gRPC imports TensorFlow.

    ```python
    client = Client("shop")
    answers = client.recommend([[("12", "view"), ("7", "cart")]], k=5)  # [[("31", 2.41), ...]]
    ```

    Args:
        model: its name on the server.
        address: gRPC address, HOST:PORT.
        rest: REST URL, up to the port; if neither is given, that of a server on this machine.
        version: the version to query; None for the latest.
        label: the version's label, instead of its number.
        timeout: seconds to wait for an answer.
    """

    def __init__(
        self,
        model: str,
        *,
        address: str | None = None,
        rest: str | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 10.0,
    ):
        if (address and rest) or (version is not None and label is not None):
            raise ValueError(
                "give at most one of address and rest, and at most one of version and label"
            )
        make, place = (GrpcTransport, address) if address else (RestTransport, rest or DEFAULT_REST)
        self._transport = make(place, model, version, label, timeout)

    def recommend(
        self,
        histories: Sequence[History],
        k: int = 10,
        exclude_seen: bool = False,
        users: Sequence[str] | None = None,
        times: Sequence[Sequence[int]] | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Returns the best `k` items after each history, best first.

        Args:
            histories: each a list of (item, behaviour), oldest first.
            k: number of items.
            exclude_seen: whether the items of a history are left out.
            users: the log's user behind each history; None for unknown users. Only for models that
                read users.
            times: times of each history's events, in the log's own unit. Only for models that read
                times.

        Returns:
            (item, score) pairs for each history, fewer than `k` if there are no more.

        Raises:
            ServerError: if there is no answer.
        """
        answers = self.predict(
            "serving_default",
            histories,
            users,
            times,
            # One row per history, so that TensorFlow Serving can batch requests.
            k=[k] * len(histories),
            exclude_seen=[exclude_seen] * len(histories),
        )
        if not histories:
            return []
        rows = zip(answers["items"], answers["scores"], strict=True)
        return [[pair for pair in zip(*row, strict=True) if pair[0]] for row in rows]

    def rank(
        self,
        histories: Sequence[History],
        candidates: Sequence[Sequence[str]],
        users: Sequence[str] | None = None,
        times: Sequence[Sequence[int]] | None = None,
    ) -> list[list[tuple[str, float | None]]]:
        """Returns the scores of candidates, in their order.

        Args:
            histories: each a list of (item, behaviour), oldest first.
            candidates: items for each history.
            users: see `recommend`.
            times: see `recommend`.

        Returns:
            (item, score) pairs for each history; the score of an unknown item is None.

        Raises:
            ServerError: if there is no answer.
        """
        if not histories:
            return []
        answers = self.predict("rank", histories, users, times, candidates=_filled(candidates))
        return [
            [
                (item, score if known else None)
                # Not strict: shorter rows are padded at the end.
                for item, score, known in zip(row, scores, knowns, strict=False)
            ]
            for row, scores, knowns in zip(
                candidates, answers["scores"], answers["known"], strict=True
            )
        ]

    def behavior(
        self,
        histories: Sequence[History],
        candidates: Sequence[Sequence[str]],
        users: Sequence[str] | None = None,
        times: Sequence[Sequence[int]] | None = None,
    ) -> list[list[dict[str, float]]]:
        """Returns the probability of each behaviour for each candidate, if it is the next item.

        Args:
            histories: each a list of (item, behaviour), oldest first.
            candidates: items for each history.
            users: see `recommend`.
            times: see `recommend`.

        Returns:
            probabilities by behaviour, for each candidate of each history.

        Raises:
            ServerError: if there is no answer, for instance if the model lacks this signature.
        """
        if not histories:
            return []
        answers = self.predict("behavior", histories, users, times, candidates=_filled(candidates))
        return [
            [dict(zip(names, row, strict=True)) for row in rows[: len(asked)]]
            for asked, names, rows in zip(
                candidates, answers["names"], answers["probabilities"], strict=True
            )
        ]

    def behaviors(self) -> list[str] | None:
        """Returns the behaviours, weak to strong; None if the model has no head for them."""
        try:
            answers = self.predict("behavior", [[("", "")]], candidates=[[""]])
        except ServerError as error:
            if error.code in ("NOT_FOUND", "FAILED_PRECONDITION", "INVALID_ARGUMENT"):
                return None
            raise
        return answers["names"][0]

    def status(self) -> dict[int, str]:
        """Returns the states of the versions on the server, for instance `{2: "AVAILABLE"}`.

        Raises:
            ServerError: if there is no such model.
        """
        return self._transport.status()

    def predict(
        self,
        signature: str,
        histories: Sequence[History],
        users: Sequence[str] | None = None,
        times: Sequence[Sequence[int]] | None = None,
        **more,
    ) -> dict[str, list]:
        """Calls a signature that takes histories.

        Args:
            signature: its name.
            histories: each a list of (item, behaviour), oldest first.
            users: see `recommend`.
            times: see `recommend`.
            **more: its other inputs, as lists.

        Returns:
            its outputs, as nested lists of text and numbers.

        Raises:
            ServerError: if there is no answer.
        """
        if not histories:
            return {}
        # TensorFlow Serving pads a batched request with its own first string.
        items = _filled([["", *(item for item, _ in history)] for history in histories])
        behaviors = _filled([["", *(behavior for _, behavior in history)] for history in histories])
        inputs = {"items": items, "behaviors": behaviors, **more}
        if users is not None:
            inputs["users"] = list(users)
        if times is not None:
            inputs["times"] = _filled([[next(iter(row), 0), *row] for row in times], 0)
        _check_context(histories, users, times)
        return self._transport.predict(signature, inputs)


def _check_context(histories, users, times):
    """Checks users and times, because a server would broadcast or pad too few of them.

    Raises:
        InputError: if there is not one user per history and one time per event.
    """
    if users is not None and len(users) != len(histories):
        raise InputError(f"{len(users)} users for {len(histories)} histories; give one for each.")
    if times is not None and list(map(len, times)) != list(map(len, histories)):
        raise InputError("times and events differ in number; give one time per event.")


def _filled(rows, nothing=""):
    """Pads rows to one length, at least 1; an exported model ignores "" as padding."""
    length = max(1, *(len(row) for row in rows))
    return [[*row, *[nothing] * (length - len(row))] for row in rows]
