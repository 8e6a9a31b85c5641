"""Checks of a run's JSON files: each function returns what is wrong, or None."""

from __future__ import annotations

from pipelines.storage.artefacts import is_number

_NUMBERS = ("val_score",)
_SETTINGS = {
    "dataset": str,
    "data_dir": str | None,
    "log": dict | None,
    "statistics": dict,
    "versions": dict,
    "hardware": list,
    "seed": int,
    "fingerprint": str | None,
    "prepared": str | None,
}
_OPTIONAL = ("hardware", "log", "fingerprint", "prepared")
_SEEDS = 1 << 32  # NumPy accepts no larger ones


def history_fault(content) -> str | None:
    """Checks `history.json`: a list of epochs whose values are all finite numbers."""
    if not isinstance(content, list):
        return "it is not a list of epochs"
    for number, entry in enumerate(content, 1):
        if not isinstance(entry, dict):
            return f"epoch {number} is not an object"
        if entry.get("epoch") != number:
            return f"epoch {number} is missing"
        missing = [name for name in _NUMBERS if name not in entry]
        if missing:
            return f"epoch {number} has no {missing[0]}"
        wrong = [name for name, value in entry.items() if not is_number(value)]
        if wrong:
            return f"{wrong[0]} of epoch {number} is not a finite number"
    return None


def settings_fault(content) -> str | None:
    """Checks the types of the fields in `run.json`; any of them may be missing."""
    if not isinstance(content, dict):
        return "it is not an object"
    for name, kind in _SETTINGS.items():
        if name in content and not isinstance(content[name], kind):
            return f"{name} is {type(content[name]).__name__}"
    if not 0 <= content.get("seed", 0) < _SEEDS:
        return "its seed is out of range"
    for entry in content.get("hardware", ()):
        if not isinstance(entry, dict) or not isinstance(entry.get("precision"), str):
            return "an entry of hardware has no precision"
    return None


def source_fault(settings: dict) -> str | None:
    """Checks that `run.json` says what the run was trained on."""
    missing = [name for name in _SETTINGS if name not in (*_OPTIONAL, *settings)]
    return f"it has no {missing[0]}" if missing else None


def metrics_fault(content) -> str | None:
    """Checks `metrics.json`: the best epoch, and results by part, scorer, protocol and metric."""
    if not isinstance(content, dict):
        return "it is not an object"
    if not is_number(content.get("best_epoch")):
        return "it has no best_epoch"
    for part in ("validation", "test"):
        if not content.get(part) or not are_results(content[part]):
            return f"it has no {part} results"
    return None


def are_results(content) -> bool:
    """Returns whether something is `results[scorer][protocol][metric]` with finite numbers."""
    return isinstance(content, dict) and all(
        isinstance(protocols, dict)
        and all(
            isinstance(metrics, dict) and all(map(is_number, metrics.values()))
            for metrics in protocols.values()
        )
        for protocols in content.values()
    )
