"""A command that is killed and run again gives the same result, and leaves nothing behind.

These are some of the places; `python -m tests.pipelines.faults.kills` covers all of them.
"""

import shutil

import pytest

from .kills import Place, contents, copied_at_places, differences, move_in, new_home, run_again

pytestmark = pytest.mark.slow

CACHE = "cache/log-events-*"
PLACES = [
    Place("prepare", "mkdir", f"{CACHE}/own_log/incomplete.*", 1, "after"),
    Place("prepare", "rename", f"{CACHE}/own_log/1.0.0", 1, "before"),
    Place("prepare", "rename", f"{CACHE}/own_log/1.0.0", 1, "after"),
    Place("prepare", "replace", f"{CACHE}/content.sha256", 1, "before"),
    Place("train", "mkdir", "run", 1, "after"),
    Place("train", "replace", "run/config.json", 1, "before"),
    Place("train", "replace", "run/run.json", 1, "before"),
    Place("train", "replace", "run/history.json", 1, "before"),
    Place("train", "replace", "run/history.json", 2, "after"),
    Place("train", "replace", "run/model.keras", 1, "before"),
]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Returns `home` and, by place, its copy at the kill and the expected contents."""
    parent = tmp_path_factory.mktemp("kills")
    home, found = new_home(parent), {}
    for command in dict.fromkeys(place.command for place in PLACES):
        copies = parent / command
        copies.mkdir()
        reached = copied_at_places(command, home, copies, PLACES)
        expected = contents(home)
        found |= {place: (copy, expected) for place, copy in reached.items() if copy}
    return home, found


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_rerun_after_a_kill_equals_an_uninterrupted_run(killed, place):
    home, found = killed
    copy, expected = found[place]
    move_in(home, copy)
    shutil.rmtree(copy)
    run_again(home, place.command)
    assert differences(expected, contents(home)) == []
