import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.datasets.event_log import LogSpec
from pipelines.datasets.event_log.spec import RatingLevel, parse_levels
from pipelines.runtime.errors import InputError

BASE = {"files": ("log.csv",), "user": "u", "item": "i"}


def test_survives_json():
    spec = LogSpec(**BASE, behavior="b", target="buy", behaviors=["view", "buy"], time="t")
    assert LogSpec.from_dict(spec.to_dict()) == spec
    assert spec.behaviors == ("view", "buy")


def test_levels():
    assert parse_levels(" dislike <= 2, so so<4,like") == (
        RatingLevel("dislike", 2.0, True),
        RatingLevel("so so", 4.0, False),
        RatingLevel("like", None, False),
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4, unique=True).map(sorted))
def test_levels_of_any_bounds(bounds):
    text = ",".join(f"b{row}<{bound!r}" for row, bound in enumerate(bounds)) + ",last"
    assert [level.bound for level in parse_levels(text)] == [*bounds, None]


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ("", "'' in the levels is not of the form"),
        ("a<=,b", "'a<=' in the levels is not of the form"),
        ("a<--,b", "'--' in the levels is not a number"),
        ("a<=2,b<3", "must all have a bound, except the last"),
        ("a,b", "must all have a bound, except the last"),
        ("a<=3,b<2,c", "must increase"),
        ("a<=2,b<2,c", "must increase"),
        ("a<=2,b<=2,c", "must increase"),
        ("lo<2,hi>2", "'hi>2' in the levels is not of the form"),
        ("lo=<2,hi", "'lo=<2' in the levels is not of the form"),
        ("lo<1e999,hi", "'1e999' in the levels is not a number"),
    ],
)
def test_bad_levels(levels, message):
    with pytest.raises(InputError, match=message):
        parse_levels(levels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"files": ()}, "at least one file"),
        ({"files": ("",)}, "no file name may be empty"),
        ({"user": ""}, "name of the user is empty"),
        ({"behavior": ""}, "name of the behavior is empty"),
        ({"behavior": "b", "target": "0", "behaviors": [*map(str, range(33))]}, "32 behaviours"),
        ({"item": "u"}, "'u' cannot have two roles"),
        ({"behavior": "b"}, "must be named as the target"),
        ({"behavior": "b", "target": "x", "behaviors": ("a", "c")}, "'x' is not one of the beh"),
        ({"behavior": "b", "target": "a", "behaviors": ("a", "a")}, "differ from each other"),
        ({"behaviors": ("a", "b"), "target": "a"}, "need a behaviour or rating column"),
        ({"rating": "r", "target": "like"}, "a rating column and levels must"),
        ({"levels": "a<1,b", "target": "a"}, "a rating column and levels must"),
        ({"rating": "r", "levels": "a<1,b"}, "named as the target, one of a, b"),
        ({"rating": "r", "levels": "a<1,b", "target": "c"}, "'c' is not one of the behaviours a"),
        ({"rating": "r", "levels": "a<1,b", "behavior": "k"}, "from ratings, not from both"),
        (
            {"rating": "r", "levels": "a<1,b", "behaviors": ("a", "b"), "target": "b"},
            "the levels already name the behaviours",
        ),
        ({"columns": ("u", "x")}, "the columns u, x have no 'i'"),
        ({"columns": ("u", "i", "u")}, "names of the columns must differ"),
        ({"min_item_count": 0}, "min_item_count must be at least 1"),
        ({"min_user_events": -1}, "min_user_events must be at least 1"),
    ],
)
def test_what_does_not_fit_together(changes, message):
    with pytest.raises(InputError, match=message):
        LogSpec(**{**BASE, **changes})


def test_files_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = LogSpec(**BASE)
    assert spec.with_absolute_files().files == (str(tmp_path / "log.csv"),)
    assert spec.with_absolute_files().moved_to("/new").files == ("/new/log.csv",)
