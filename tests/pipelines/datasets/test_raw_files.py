import pytest

from pipelines.datasets.raw_files import SourceFiles
from pipelines.errors import InputError

SOURCES = SourceFiles("shop.zip", ("views", "buys"), "shop", "https://example.org")
ONE_FILE = SourceFiles("shop.zip", ("views",), "shop", "https://example.org")


def write(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(f"content of {name}")


def test_archive_by_directory_and_by_path(tmp_path, write_zip):
    archive = write_zip(tmp_path / "shop.zip", {"a/b/views": "1", "buys": "2", "other": "3"})
    renamed = write_zip(tmp_path / "my.zip", {"a/b/views": "1", "buys": "2"})
    for path in (tmp_path, archive, renamed, str(archive)):
        files = SOURCES.locate(path)
        assert (files.read("views"), files.read("buys")) == (b"1", b"2")


@pytest.mark.parametrize("folder", ["", "shop"])
def test_unpacked(tmp_path, folder):
    write(tmp_path / folder, "views", "buys")
    files = SOURCES.locate(tmp_path)
    assert files.read("buys") == b"content of buys"
    assert [name for name, _, _ in files.identity()] == ["buys", "views"]


def test_single_file_by_path(tmp_path):
    write(tmp_path, "views")
    assert ONE_FILE.locate(tmp_path / "views").read("views") == b"content of views"


def test_identity_tells_a_change(tmp_path):
    write(tmp_path, "views", "buys")
    before = SOURCES.locate(tmp_path).identity()
    assert SOURCES.locate(tmp_path).identity() == before
    (tmp_path / "buys").write_text("more than before")
    assert SOURCES.locate(tmp_path).identity() != before


def test_missing_path(tmp_path):
    with pytest.raises(InputError, match=r"there is no .*absent; get shop.zip from https://exam"):
        SOURCES.locate(tmp_path / "absent")


def test_directory_without_files(tmp_path):
    with pytest.raises(InputError, match=r"neither shop.zip nor the unpacked views, buys"):
        SOURCES.locate(tmp_path)


def test_incomplete_directory(tmp_path):
    write(tmp_path, "views")
    with pytest.raises(InputError, match="lacks buys; it must have all of views, buys"):
        SOURCES.locate(tmp_path)


def test_incomplete_archive(tmp_path, write_zip):
    write_zip(tmp_path / "shop.zip", {"views": "1"})
    with pytest.raises(InputError, match=r"shop.zip lacks buys"):
        SOURCES.locate(tmp_path)


@pytest.mark.parametrize("keep", [0, 100, -30])
def test_truncated_archive(tmp_path, write_zip, keep):
    archive = write_zip(tmp_path / "shop.zip", {"views": "1" * 999, "buys": "2"})
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"not a complete zip archive .* fetch shop.zip again"):
        SOURCES.locate(tmp_path)


def test_damaged_member(tmp_path, write_zip):
    archive = write_zip(tmp_path / "shop.zip", {"views": bytes(range(256)) * 9, "buys": "2"})
    content = bytearray(archive.read_bytes())
    content[60:80] = b"x" * 20
    archive.write_bytes(content)
    files = SOURCES.locate(tmp_path)
    with pytest.raises(InputError, match=r"views in .*shop.zip cannot be read"):
        files.read("views")
