import pytest

from pipelines.export.saved_model import _publish
from pipelines.runtime.errors import InputError
from pipelines.runtime.model_versions import LARGEST, version_number, versions


def test_whole_numbers_that_int64_has_are_versions():
    assert [version_number(name) for name in ("0", "7", "007", str(LARGEST))] == [0, 7, 7, LARGEST]
    for name in (str(LARGEST + 1), "9" * 200, "²", "٣", "-1", "+1", "1.0", "1 ", "1\n", ""):
        assert version_number(name) is None


def test_directories_by_number(tmp_path):
    for name in ("10", "9", str(LARGEST + 1), ".exporting-1", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "11").write_text("a file")
    assert list(versions(tmp_path).items()) == [(9, tmp_path / "9"), (10, tmp_path / "10")]
    assert versions(tmp_path / "missing") == versions(tmp_path / "11") == {}


def test_a_version_follows_the_last_one_though_others_are_gone(tmp_path):
    complete, models = tmp_path / "complete", tmp_path / "shop"
    complete.mkdir()
    (models / "7").mkdir(parents=True)
    assert _publish(complete, models) == models / "8"


def test_nothing_is_published_after_the_last_number(tmp_path):
    complete, models = tmp_path / "complete", tmp_path / "shop"
    complete.mkdir()
    (models / str(LARGEST)).mkdir(parents=True)
    with pytest.raises(InputError, match="the last possible one"):
        _publish(complete, models)
    assert complete.exists()
    assert [path.name for path in models.iterdir()] == [str(LARGEST)]
