"""The page of a run: what it shows, and that it needs no other files."""

import dataclasses
import itertools
import json
import re

import keras
import numpy as np
import pytest
from keras import ops

from hmar_keras.layers import ReZero, SequenceEncoder
from hmar_keras.schema import BEHAVIOR_IDS, CANDIDATE_IDS, ITEM_IDS, RANKING
from pipelines.report.behavior_head import predict_behaviors
from pipelines.report.one_user import choose_question, walk_through
from pipelines.report.page import render
from pipelines.report.run_report import run_report, run_sections
from pipelines.workflow import runs as workflow
from pipelines.workflow.request import Request

from .conftest import BEHAVIORS, ITEMS, USERS
from .html_page import HTMLPage

ALLOWED = {"html", "head", "meta", "title", "style", "body", "header", "nav", "main", "footer"}
ALLOWED |= {"section", "h1", "h2", "h3", "p", "ul", "ol", "li", "a", "b", "span", "small", "strong"}
ALLOWED |= {"table", "caption", "thead", "tbody", "tr", "th", "td", "div", "details", "summary"}
ALLOWED |= {"figure", "figcaption", "pre", "code"}
ALLOWED |= {"svg", "g", "path", "text", "use", "defs", "clippath", "rect", "desc", "tspan"}


@pytest.fixture(scope="module")
def parsed(page):
    return HTMLPage(page)


def test_results_are_those_of_hmar_evaluate(parsed, opened):
    results = workflow.evaluate_run(opened.directory, opened.dataset, opened.model)
    titles = {"sampled": "Sampled negatives", "full": "Full catalogue", "full_unseen": "New items"}
    for part, scorers in results.items():
        for protocol, title in titles.items():
            header, *rows = parsed.table(f"{title}, {part}:")
            assert [row[0] for row in rows] == list(scorers)
            for row in rows:
                for heading, cell in zip(header[1:], row[1:], strict=True):
                    value = scorers[row[0]][protocol][heading.lower()]
                    shown, low, high = re.fullmatch(r"(\S+) (\S+) to (\S+)", cell).groups()
                    assert shown == f"{value:.4f}"
                    assert float(low) <= value + 5e-4
                    assert float(high) >= value - 5e-4


def test_training_and_settings_are_those_of_the_files(parsed, opened):
    _, *rows = parsed.table("Training losses")
    history = json.loads((opened.directory.path / "history.json").read_text())
    assert [row[1] for row in rows] == [f"{entry['loss']:.4f}" for entry in history]
    settings = {row[0]: row[1] for row in parsed.table("All settings")[1:]}
    assert settings["dim"] == "8"
    assert set(settings) == set(opened.config.to_dict())
    assert f"--seed {opened.seed}" in parsed.all("pre")[0].text


def test_gammas_and_confusion_are_those_of_the_model(parsed, opened):
    rows = {row[0]: row[1] for row in parsed.table("ReZero gammas")[1:]}
    for block in range(2):
        layer = opened.model.backbone.get_layer(f"behavior_encoder_{block}")
        assert isinstance(layer.rezero, ReZero)
        for name, gamma in zip(
            opened.behavior_names, ops.convert_to_numpy(layer.rezero.gamma), strict=True
        ):
            assert rows[f"block {block + 1}, {name}"] == f"{gamma:.4f}"
    confusion = predict_behaviors(opened).confusion()
    _, *rows = parsed.table("True behaviours")
    for row, counts in zip(rows, confusion, strict=True):
        assert row[1] == f"{counts.sum():,}"
        assert [cell.split()[-1] for cell in row[2:]] == [f"{count:,}" for count in counts]


@pytest.mark.slow
def test_a_model_without_behaviour_encoders_has_a_page(cache, tmp_path):
    request = Request(
        dataset="synthetic_shop/tiny",
        model="sasrec",
        assignments=("dim=8", "max_length=8", "epochs=1"),
    )
    run, dataset = workflow.start(request, tmp_path / "run")
    workflow.train_run(run, dataset)
    parsed = HTMLPage(run_report(run.path))
    settings = {row[0]: row[1] for row in parsed.table("All settings")[1:]}
    assert (settings["model"], settings["memory"]) == ("sasrec", "True")
    assert "Skip connections" not in [heading.text for heading in parsed.all("h2")]
    assert len(parsed.table("Full catalogue; scores")) > 10


def test_the_user_is_answered_as_the_model_answers(parsed, opened):
    walk = walk_through(opened, choose_question(opened))
    history = {"item_ids": walk.item_ids[None], "behavior_ids": walk.behavior_ids[None]}
    scores = opened.model.score_catalog(history)
    scores = np.array(scores)[0]
    order = np.argsort(-scores, kind="stable")[:10]
    header, *rows = parsed.table("Full catalogue; scores")
    assert walk.rank == 1 + np.count_nonzero(scores > scores[walk.answer])
    answer = opened.dataset.items[walk.answer - 1]
    (marked,) = [row for row in rows if row[1].endswith(" the answer")]
    assert marked[:2] == [str(walk.rank), f"{answer} the answer"]
    if walk.rank > 10:
        assert rows.pop() == marked
    assert [row[1].removesuffix(" the answer") for row in rows] == [
        opened.dataset.items[item - 1] for item in order
    ]
    assert [row[-1] for row in rows] == [f"{scores[item]:.3f}" for item in order]
    # A candidate's counts are those of its events in the history.
    assert header[2] == "done to it before"
    for row, item in zip(rows, order, strict=True):
        done = walk.behavior_ids[walk.item_ids == item]
        parts = [
            f"{count} {name}"
            for name, count in zip(
                opened.behavior_names, np.bincount(done, minlength=5)[1:], strict=True
            )
            if count
        ]
        assert row[2] == (", ".join(parts) or "nothing")


@pytest.mark.slow
@pytest.mark.parametrize("which", ["page", "hostile_page"])
def test_the_page_needs_nothing_else(request, which):
    text = request.getfixturevalue(which)
    parsed = HTMLPage(text)
    assert {element.tag for element in parsed.elements} <= ALLOWED
    for element in parsed.elements:
        assert not [name for name in element.attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            assert element.attributes.get(name, "#").startswith("#")
    style = "".join(element.text for element in parsed.all("style"))
    assert "@import" not in text
    assert "url(" not in style
    assert "://" not in style
    assert len(text.encode()) < 2_000_000


@pytest.mark.slow
@pytest.mark.parametrize("which", ["page", "hostile_page"])
def test_the_page_can_be_read_without_seeing_it(request, which):
    parsed = HTMLPage(request.getfixturevalue(which))
    assert parsed.all("html")[0].attributes["lang"] == "en"
    ids = [e.attributes["id"] for e in parsed.elements if e.attributes.get("id")]
    assert len(ids) == len(set(ids))
    levels = [int(e.tag[1]) for e in parsed.elements if re.fullmatch("h[1-6]", e.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for link in parsed.all("a"):
        assert link.attributes["href"][1:] in ids
    texts = {e.attributes.get("id"): e.text for e in parsed.elements}
    for picture in parsed.all("svg"):
        assert picture.attributes["role"] == "img"
        for label in picture.attributes["aria-labelledby"].split():
            assert texts[label].strip()
    assert len(parsed.all("figure")) == len(parsed.all("svg")) == len(parsed.all("figcaption"))
    for figure in parsed.all("figcaption"):
        assert figure.text.strip().endswith(".")
    assert all("scope" in element.attributes for element in parsed.all("th"))


def test_names_of_a_log_are_text_and_nothing_else(hostile_page):
    parsed = HTMLPage(hostile_page)
    text = " ".join(element.text for element in parsed.elements if element.tag == "main")
    assert f"One user: {USERS[0]}" in text
    assert set(BEHAVIORS) <= {row[0] for row in parsed.table("ReZero gammas")[1:]} | {
        row[0].removeprefix("block 1, ") for row in parsed.table("ReZero gammas")[1:]
    }
    assert sum(item in text for item in ITEMS) >= 5
    assert "<img" not in hostile_page
    assert "<script" not in hostile_page
    assert "\u202e" not in hostile_page


def test_names_in_a_title_are_escaped():
    text = render("<i>a</i> & b", "</title>", [], [])
    assert HTMLPage(text).all("h1")[0].text == "<i>a</i> & b"
    assert not HTMLPage(text).all("i")


class RankingOnly(keras.Model):
    """A model without a behaviour head, behaviour encoders or indicators."""

    features = (ITEM_IDS, BEHAVIOR_IDS)

    def __init__(self, config):
        names = (ITEM_IDS, BEHAVIOR_IDS)
        ids = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
        candidates = keras.Input((None, None), dtype="int32", name=CANDIDATE_IDS)
        table = keras.layers.Embedding(config.num_items + 1, config.dim)
        embedded = table(ids[ITEM_IDS])
        states = SequenceEncoder(name="encoder")(embedded, embedded, ids[ITEM_IDS])
        scores = ops.einsum("bd,bscd->bsc", states[:, -1], table(candidates))
        super().__init__({**ids, CANDIDATE_IDS: candidates}, {RANKING: scores})
        self.config, self.table = config, table
        self.states = keras.Model(ids, states)

    def score_candidates(self, features, candidate_ids):
        return self(
            {name: ops.convert_to_tensor(features[name]) for name in self.features}
            | {CANDIDATE_IDS: ops.convert_to_tensor(candidate_ids)[:, None]}
        )

    def score_catalog(self, features):
        states = self.states(
            {name: ops.convert_to_tensor(features[name]) for name in self.features}
        )
        return ops.matmul(states[:, -1], ops.transpose(self.table.embeddings))


def test_what_a_model_does_not_have_is_left_out(opened):
    keras.utils.set_random_seed(0)
    other = dataclasses.replace(opened, model=RankingOnly(opened.config.model))
    assert not other.predicts_behavior
    _, sections = run_sections(other)
    names = [section.name for section in sections]
    assert {"results", "cutoffs", "groups", "training", "user", "data", "settings"} == set(names)
    parsed = HTMLPage(render("title", "subtitle", [], sections))
    assert "RankingOnly" in parsed.all("main")[0].text
    headings = [row for row in parsed.table("What the model saw")[0] if row]
    assert headings == ["events ago", "behaviour", "item", "attention, sequence encoder"]
