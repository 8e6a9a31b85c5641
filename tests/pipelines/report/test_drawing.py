"""SVG that fits the page around it."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from pipelines.report.drawing import INK, SERIES, drawing, spread
from pipelines.report.pictures import Interval, histogram, intervals, lanes, lines, reliability

TEXTS = ("a <title> & more", 'what "is" seen')
NAME = "日本 <b> & $x$ 😀"


def pictures():
    two = {NAME: ([1, 2], [3, 4]), "b": ([1, 2], [1, 1])}
    flat = {"b": ([0, 1], [1, 2])}
    rows = [Interval(NAME, 1, 0, 2), Interval("b", 0, -1, 1, 1, NAME), Interval("c", 2)]
    weights = [
        (NAME, np.array([0, 3]), np.array([1, 0.5]), 0),
        ("b", np.array([]), np.array([]), 1),
    ]
    bins = (np.array([0.5]), np.array([1.0]), np.array([3]))
    return {
        "lines": lines("a", TEXTS, two, "x"),
        "single": lines("b", TEXTS, {NAME: ([1], [0.5])}, "x", mark=(1, "kept")),
        "ticks": lines("c", TEXTS, flat, "x", ["1–2", "3"], bands={"b": ([0, 1], [2, 3])}),
        "intervals": intervals("d", TEXTS, rows, "x", True),
        "histogram": histogram("e", TEXTS, [0, 1, 2, 4], [5, 0, 3], "x"),
        "reliability": reliability("f", TEXTS, *bins),
        "lanes": lanes("g", TEXTS, weights, 4),
    }


@pytest.fixture(scope="module")
def drawn():
    return pictures()


def test_pictures_are_the_same_every_time(drawn):
    assert pictures() == drawn


@pytest.mark.parametrize("kind", list(pictures()))
def test_pictures_have_words_and_no_colours_of_their_own(drawn, kind):
    svg = drawn[kind]
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    labels = root.get("aria-labelledby").split()
    texts = {element.get("id"): element.text for element in root.iter()}
    assert [texts[label] for label in labels] == list(TEXTS)
    assert "http" not in svg
    assert "xlink" not in svg
    assert "font-family" not in svg
    assert not re.findall(r"#[0-9a-fA-F]{6}\b", svg.replace("url(#", ""))
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for used in re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', svg):
        assert (used[0] or used[1]) in ids
    if kind in ("lines", "single", "intervals", "lanes"):
        words = [element.text for element in root.iter("text")]
        assert NAME in words


def test_ids_of_two_pictures_differ():
    first = lines("one", TEXTS, {"b": ([1, 2], [1, 1])}, "x")
    second = lines("two", TEXTS, {"b": ([1, 2], [1, 1])}, "x")
    both = [set(re.findall(r' id="([^"]*)"', svg)) for svg in (first, second)]
    assert not both[0] & both[1]


def test_colours_become_variables():
    with drawing("a") as picture:
        picture.axes.plot([1, 2], color=SERIES[3])
        picture.axes.text(1, 1, "word", color=INK)
        svg = picture.svg(*TEXTS)
    assert "stroke: var(--series-3)" in svg
    assert "fill: var(--ink)" in svg


def test_nothing_of_matplotlib_stays_changed():
    import matplotlib

    before = dict(matplotlib.rcParams)
    pictures()
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("seed", range(5))
def test_spread_keeps_order_and_distance(seed):
    rng = np.random.default_rng(seed)
    wanted = rng.uniform(0, 100, 6)
    levels = spread(wanted, 12, 0, 100)
    order = np.argsort(wanted)
    assert (np.diff(levels[order]) >= 12 - 1e-9).all()
    assert levels.min() >= 0
    assert levels.max() <= 100 + 1e-9


def test_spread_moves_nothing_that_is_far_enough_apart():
    np.testing.assert_allclose(spread([10, 50, 90], 12, 0, 100), [10, 50, 90])
    np.testing.assert_allclose(spread([50, 50], 10, 0, 100), [45, 55])
