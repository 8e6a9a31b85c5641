"""The card and metadata of an exported model."""

import json

import pytest

from pipelines.export.model_card import CARD, METADATA, write_card


@pytest.fixture
def metadata(config):
    metrics = {"hr@10": 0.51234, "ndcg@10": 0.25}
    results = dict.fromkeys(("sampled", "full", "full_unseen"), metrics)
    worse = {protocol: {"hr@10": 0.4, "ndcg@10": 0.1} for protocol in results}
    scorers = {"HMAR": results, "popularity": results, "repeat your history": worse}
    return {
        "config": config.to_dict(),
        "leaves_out": [],
        "dataset": "shop",
        "statistics": {"users": 1234, "items": 30, "events": {"view": 5000, "cart": 7, "buy": 3}},
        "seed": 5,
        "best_epoch": 7,
        "versions": {"hmar_keras": "0.1.0"},
        "created": "2026-01-02 03:04 UTC",
        "validation": scorers,
        "test": scorers,
    }


def test_the_card_tells_data_results_settings_and_limits(metadata, tmp_path):
    write_card(tmp_path, "shop", "HMAR", metadata)
    assert json.loads((tmp_path / METADATA).read_text()) == metadata
    card = (tmp_path / CARD).read_text()
    for part in (
        *("# shop", "1,234 users, 30 items", "| view | 5,000 |", "| buy (target) | 3 |"),
        *("seed 5", "epoch 7", "latest 6 known events", '"dim": 8'),
        *("## Results", "| Test |", "| Validation |"),
        "| popularity | **0.5123 / 0.2500** | **0.5123 / 0.2500** | **0.5123 / 0.2500** |",
        "| repeat your history | 0.4000 / 0.1000 | 0.4000 / 0.1000 | 0.4000 / 0.1000 |",
    ):
        assert part in card, part
    # The rows of a table are consecutive lines.
    lines = card.splitlines()
    row = lines.index("| HMAR | 0.5123 / 0.2500 | 0.5123 / 0.2500 | 0.5123 / 0.2500 |")
    assert lines[row - 1] == "|---|---|---|---|"
    assert lines[row + 1].startswith("| popularity |")
    assert "exclude_seen" not in card
    assert "leaves out" not in card


def test_the_card_says_what_recommend_leaves_out(metadata, tmp_path):
    metadata["leaves_out"] = ["cart", "buy"]
    write_card(tmp_path, "shop", "HMAR", metadata)
    assert "strongest behaviour there is cart or buy" in (tmp_path / CARD).read_text()


def test_the_card_has_the_column_of_what_can_return_if_there_is_one(metadata, tmp_path):
    write_card(tmp_path, "shop", "HMAR", metadata)
    assert "can return" not in (tmp_path / CARD).read_text().lower()
    for part in ("validation", "test"):
        metadata[part] = {
            name: {**results, "full_returnable": {"hr@10": 0.3, "ndcg@10": 0.2}}
            for name, results in metadata[part].items()
        }
    write_card(tmp_path, "shop", "HMAR", metadata)
    lines = (tmp_path / CARD).read_text().splitlines()
    header = lines.index("| Test | sampled | full | new items | can return |")
    assert lines[header + 1] == "|---|---|---|---|---|"
    assert lines[header + 2].endswith("| 0.5123 / 0.2500 | 0.3000 / 0.2000 |")
    assert lines[header + 3].endswith("| **0.5123 / 0.2500** | **0.3000 / 0.2000** |")
    assert any(line.startswith("*Can return*") for line in lines)


def test_what_was_not_evaluated_says_so(metadata, tmp_path):
    del metadata["test"], metadata["validation"]
    metadata["config"]["labels"] = "new_items"
    write_card(tmp_path, "shop", "SASRec", metadata)
    card = (tmp_path / CARD).read_text()
    assert "Not evaluated before it was exported" in card
    assert "send `exclude_seen`" in card


def test_a_model_of_unknown_origin_has_no_card(config, tmp_path):
    write_card(tmp_path, "shop", "HMAR", {"config": config.to_dict()})
    assert json.loads((tmp_path / METADATA).read_text()) == {"config": config.to_dict()}
    assert not (tmp_path / CARD).exists()
