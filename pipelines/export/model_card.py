"""What one needs to know to serve a model, for machines and for people."""

from __future__ import annotations

import json
from pathlib import Path

import jinja2

from pipelines.evaluation.baselines import best_rule
from pipelines.evaluation.evaluator import COLUMNS
from pipelines.storage.json_text import parse_json
from pipelines.training.run_files import are_results

METADATA = Path("assets.extra") / "hmar.json"
CARD = Path("assets.extra") / "model_card.md"


def write_card(version: Path, name: str, model: str, metadata: dict) -> None:
    """Writes `hmar.json`, and `model_card.md` where the model's origin is known.

    Args:
        version: directory of the export.
        name: name of the model.
        model: name of its class, for instance "HMAR".
        metadata: settings as `config`, and `leaves_out`, behaviours after which `recommend` leaves
            out an item; for an exported run also `dataset`, `statistics`,
            `fingerprint`, `questions`, `seed`, `best_epoch`, `versions`, `created` and, if it is
            evaluated, `validation` and `test`, results by scorer, protocol and metric.
    """
    (version / METADATA).parent.mkdir(exist_ok=True)
    (version / METADATA).write_text(json.dumps(metadata, indent=2) + "\n")
    if "statistics" in metadata:
        (version / CARD).write_text(_markdown(name, model, metadata), encoding="utf-8")


def parse_metadata(version: Path) -> dict:
    """Returns the content of an export's `hmar.json`.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not valid JSON, or not the metadata of an export.
    """
    content = parse_json((version / METADATA).read_bytes())
    if fault := _fault(content):
        raise ValueError(f"{METADATA}: {fault}")
    return content


def _fault(content):
    """Returns what is wrong with the content of `hmar.json`, None if nothing is."""
    config = content.get("config") if isinstance(content, dict) else None
    behaviors = config.get("behaviors") if isinstance(config, dict) else None
    names = behaviors.get("names") if isinstance(behaviors, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return "it does not name the behaviours"
    wrong = [part for part in ("validation", "test") if not are_results(content.get(part, {}))]
    return f"{wrong[0]} are not results" if wrong else None


def _markdown(name, model, metadata):
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines.export"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    results = {"validation": metadata.get("validation"), "test": metadata.get("test")}
    template = environment.get_template("model_card.md")
    tested = next(iter((results["test"] or {}).values()), {})
    columns = {protocol: title for protocol, title in COLUMNS.items() if protocol in tested}
    known = {"name": name, "model": model, "best_rule": best_rule, "columns": columns}
    return template.render({**metadata, **results, **known})
