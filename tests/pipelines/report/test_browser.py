"""The pages in a browser; skipped without Chromium."""

import pytest

from pipelines.report.experiment_report import experiment_report
from pipelines.report.tuning_report import tuning_report

from . import browser
from .test_experiment import write_experiment
from .test_tuning import write_tuning

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not browser.CHROMIUM, reason="Chromium is not installed"),
]
READABLE = 4.5  # contrast of small text in WCAG 2.1 AA


@pytest.fixture(scope="module")
def pages(page, hostile_page, tmp_path_factory):
    directory = tmp_path_factory.mktemp("ablation")
    write_experiment(directory)
    search = tmp_path_factory.mktemp("search")
    write_tuning(search)
    return {
        "run": page,
        "names": hostile_page,
        "experiment": experiment_report(directory),
        "tuning": tuning_report(search),
    }


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("which", ["run", "names", "experiment", "tuning"])
def test_the_page_fits_and_can_be_read(pages, tmp_path, which, width, dark):
    found = browser.look(pages[which], tmp_path, width, dark)
    assert (found["width"], found["dark"]) == (width, dark)
    assert found["scrollWidth"] <= found["clientWidth"] == width
    assert found["errors"] == []
    assert found["texts"] > 200
    assert found["contrast"][0][0] >= READABLE, found["contrast"]
    assert (sum(found["paper"][:3]) < 150) == dark
    assert found["smallestText"] >= 10
    assert found["outside"] == []
