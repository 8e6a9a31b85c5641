"""The commands `hmar serve` and `hmar client`."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Annotated

import typer

from pipelines.cli.history_text import parse_history, parse_times
from pipelines.cli.options import ExcludeSeen, History, K, Times, User
from pipelines.runtime.errors import InputError
from pipelines.runtime.model_name import check_model_name
from pipelines.runtime.model_versions import LARGEST, version_number
from pipelines.runtime.terminal import prepare_keras, print_answer, say, say_if_heard
from pipelines.storage.json_text import parse_json

# TensorFlow and gRPC are imported inside the commands: `--help` should not wait for them.


def serve_command(
    model: Annotated[str, typer.Option(help="Directory of a model's versions, saved_models/NAME.")],
    name: Annotated[
        str | None,
        typer.Option(
            help=r"Model name for clients. \[default: the directory's name]",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(help="gRPC port; 0 for a free one.", min=0, max=65535)
    ] = 8500,
    rest_port: Annotated[
        int, typer.Option(help="REST port; 0 for a free one.", min=0, max=65535)
    ] = 8501,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all interfaces.")
    ] = "127.0.0.1",
    threads: Annotated[
        int, typer.Option(help="Requests that gRPC and REST each answer in parallel.", min=1)
    ] = 4,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL=VERSION",
            help="Label for a version, which stays loaded; may be repeated.",
            show_default=False,
        ),
    ] = None,
    ui: Annotated[
        bool,
        typer.Option("--ui", help="Also serve a page on the REST port to try histories."),
    ] = False,
):
    """Serve a model as TensorFlow Serving does, for development: gRPC, REST, new versions.

    In production, use TensorFlow Serving itself with the same directory.
    """
    labels = _labels(label or [])
    prepare_keras(backend="tensorflow")
    from pipelines.serving.limits import raise_descriptor_limit
    from pipelines.serving.served_model import ServedModel
    from pipelines.serving.server import Server

    raise_descriptor_limit()
    served = ServedModel(model, name, labels, say_if_heard)
    with Server(served, host, port, rest_port, threads, ui) as server, _asked_to_end() as wait:
        say_if_heard(f"serving {served.name}: gRPC on {server.address}, REST on {server.rest_url}")
        if ui:
            say_if_heard(f"page: {server.rest_url}/")
        wait()
        say_if_heard("stopping: requests in flight are answered first")
    say_if_heard("stopped")


def client_command(
    model: Annotated[str, typer.Option(help="Name of the model on the server.")],
    history: History,
    k: K = 10,
    exclude_seen: ExcludeSeen = False,
    user: User = None,
    times: Times = None,
    candidates: Annotated[
        str | None,
        typer.Option(
            metavar="ITEM,ITEM",
            help=r'Rank these items instead of the catalogue; or as JSON: \["item", ...].',
            show_default=False,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Server to query over gRPC.", show_default=False),
    ] = None,
    rest: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help=r"Server to query over REST. \[default: http://127.0.0.1:8501]",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option(
            help=r"Version of the model. \[default: the latest]",
            show_default=False,
            min=0,
            max=LARGEST,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="Label of a version, instead of its number.", show_default=False),
    ] = None,
):
    """Query a server: hmar serve or TensorFlow Serving."""
    if address and rest:
        raise InputError("--address uses gRPC and --rest uses REST; give one of them.")
    if version is not None and label is not None:
        raise InputError("--version and --label both choose a version; give one of them.")
    check_model_name(model, "--model")
    if address:
        prepare_keras(backend="tensorflow")  # only gRPC needs TensorFlow, for its stubs
    from pipelines.serving import Client

    client = Client(model, address=address, rest=rest, version=version, label=label)
    events = parse_history(history, client.behaviors() or _behaviors_in(history))
    asked = [] if candidates is None else _candidates(candidates)
    # Also ranks the items of the history, to learn which of them the model does not know.
    known_times = parse_times(times)
    context = {
        "users": None if user is None else [user],
        "times": None if known_times is None else [known_times],
    }
    scores = dict(client.rank([events], [[item for item, _ in events] + asked], **context)[0])
    unknown = sorted(item for item, score in scores.items() if score is None)
    if unknown:
        say(f"not in the catalogue, left out: {', '.join(unknown)}")
    if candidates is None:
        answer = client.recommend([events], k, exclude_seen, **context)[0]
    else:
        known = {item: scores[item] for item in asked if scores[item] is not None}
        answer = sorted(known.items(), key=lambda pair: -pair[1])
    print_answer(answer)


def _labels(texts):
    labels = {}
    for text in texts:
        label, _, version = text.partition("=")
        if not label or (number := version_number(version)) is None:
            raise InputError(
                f"--label has {text!r} where LABEL=VERSION is expected; write, for example, "
                "stable=2."
            )
        labels[label] = number
    return labels


@contextlib.contextmanager
def _asked_to_end():
    """Yields a function that waits until Ctrl-C or SIGTERM, which do not end the process inside.

    The second one ends the process as usual.
    """
    reader, writer = os.pipe()
    before = {}

    def note(number, frame):
        # A pipe, because a handler may run while the waiting thread holds any lock.
        os.write(writer, b".")
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as in a background job of a script
            before[number] = signal.signal(number, note)
    try:
        yield lambda: os.read(reader, 1)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _behaviors_in(history):
    """Returns what follows the last colon of each event, if the model names no behaviours."""
    try:
        found = {behavior for _, behavior in parse_json(history)}
    except (TypeError, ValueError):
        parts = [event.strip().rpartition(":") for event in history.split(",")]
        found = {behavior for _, colon, behavior in parts if colon}
    return sorted(name for name in found if name and isinstance(name, str)) or ["view"]


def _candidates(text):
    if not text.lstrip().startswith("["):
        return [item.strip() for item in text.split(",")]
    try:
        items = parse_json(text)
    except ValueError:
        items = None
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise InputError(
            "--candidates starts like JSON but is not a list of items; write, for example, "
            '\'["12", "7"]\'.'
        )
    return items
