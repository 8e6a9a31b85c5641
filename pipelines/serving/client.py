"""Asks a served model: of `hmar serve` or of TensorFlow Serving, over REST or gRPC."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.runtime.errors import InputError
from pipelines.serving.transports import GrpcTransport, RestTransport, ServerError

DEFAULT_REST = "http://127.0.0.1:8501"

History = Sequence[tuple[str, str]]


class Client:
    """A model on a server.

    Over REST it needs nothing but Python; gRPC imports TensorFlow.

    ```python
    client = Client("shop")
    answers = client.recommend([[("12", "view"), ("7", "cart")]], k=5)  # [[("31", 2.41), ...]]
    ```

    Args:
        model: its name on the server.
        address: HOST:PORT of gRPC.
        rest: URL of REST, up to the port; if neither is given, that of a server on this machine.
        version: the version to ask; None for the latest.
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
            raise ValueError("give one of address and rest, and at most one of version and label")
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
        """The best `k` items after each history, best first.

        Args:
            histories: each a list of (item, behaviour), oldest first.
            k: how many items.
            exclude_seen: whether the items of a history are left out.
            users: whose the histories are, of the log's users; None for strangers. Only of a model
                that reads them, as are `times`.
            times: of each history's events, in the log's own unit.

        Returns:
            (item, score) for each history, fewer than `k` if there are no more.

        Raises:
            ServerError: if there is no answer.
        """
        answers = self.predict(
            "serving_default",
            histories,
            users,
            times,
            # A row a history, so that TensorFlow Serving can join requests to batches.
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
        """Scores of candidates, in their order.

        Args:
            histories: each a list of (item, behaviour), oldest first.
            candidates: items for each history.
            users: as of `recommend`.
            times: as of `recommend`.

        Returns:
            (item, score) for each history; the score of an unknown item is None.

        Raises:
            ServerError: if there is no answer.
        """
        if not histories:
            return []
        answers = self.predict("rank", histories, users, times, candidates=_filled(candidates))
        return [
            [
                (item, score if known else None)
                # Not strict: shorter rows were filled up, at the end.
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
        """How likely each user does what to each candidate, if it is the next item.

        Args:
            histories: each a list of (item, behaviour), oldest first.
            candidates: items for each history.
            users: as of `recommend`.
            times: as of `recommend`.

        Returns:
            probabilities by behaviour, for each candidate of each history.

        Raises:
            ServerError: if there is no answer, for instance from a model without that signature.
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
        """The names of the behaviours, weak to strong; None if the model has no head for them."""
        try:
            answers = self.predict("behavior", [[("", "")]], candidates=[[""]])
        except ServerError as error:
            if error.code in ("NOT_FOUND", "FAILED_PRECONDITION", "INVALID_ARGUMENT"):
                return None
            raise
        return answers["names"][0]

    def status(self) -> dict[int, str]:
        """The states of the versions that the server tells of, for instance `{2: "AVAILABLE"}`.

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
            users: as of `recommend`.
            times: as of `recommend`.
            **more: its other inputs, as lists.

        Returns:
            its outputs, as nested lists of text and numbers.

        Raises:
            ServerError: if there is no answer.
        """
        if not histories:
            return {}
        # TensorFlow Serving fills up what it joins to a batch with a request's own first string.
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
    """Too few of them would be a server's: one user for all, and times of padding.

    Raises:
        InputError: if users or times are not as many as the histories or their events.
    """
    if users is not None and len(users) != len(histories):
        raise InputError(f"{len(users)} users of {len(histories)} histories; give each its own.")
    if times is not None and list(map(len, times)) != list(map(len, histories)):
        raise InputError("the times are not as many as the events; give each event its own.")


def _filled(rows, nothing=""):
    """Rows of one length, of at least one: "" is nothing to an exported model."""
    length = max(1, *(len(row) for row in rows))
    return [[*row, *[nothing] * (length - len(row))] for row in rows]
