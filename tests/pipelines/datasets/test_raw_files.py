import os
import zipfile

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.datasets import zip_members
from pipelines.datasets.raw_files import SourceFiles
from pipelines.runtime.errors import InputError

SOURCES = SourceFiles("shop.zip", ("views", "buys"), "shop", "https://example.org")
ONE_FILE = SourceFiles("shop.zip", ("views",), "shop", "https://example.org")
LOOSE = SourceFiles(
    None, ("views", "buys"), "Datasets/Shop", "https://example.org", packed=("views",)
)


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
    with pytest.raises(InputError, match=r"absent does not exist; get shop.zip from https://exam"):
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


@pytest.mark.parametrize("folder", ["", "Datasets/Shop"])
def test_loose_files(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    write(tmp_path / folder, "views", "buys")
    for path in (tmp_path, tmp_path / folder / "views", tmp_path / folder):
        assert LOOSE.locate(path).read("buys") == b"content of buys"


@pytest.mark.parametrize(
    ("present", "message"),
    [
        (
            [],
            r"raw has none of views, buys; get views, buys from https://example.org \(folder "
            r"Datasets/Shop\), unpack views \(a rar archive there\) and pass the directory they "
            r"are in as --data-dir\.$",
        ),
        (
            ["views"],
            r"raw lacks buys; it must have all of views, buys: get buys from https://example.org "
            r"\(folder Datasets/Shop\)\.$",
        ),
        (["buys", "views.part01.rar"], r"raw lacks views; .*, unpack views \(a rar archive there"),
    ],
)
def test_missing_loose_file_is_named_with_its_source(tmp_path, present, message):
    write(tmp_path / "raw", *present)
    with pytest.raises(InputError, match=message) as caught:
        LOOSE.locate(tmp_path / "raw")
    assert "\n" not in str(caught.value)


def test_loose_files_in_an_archive(tmp_path, write_zip):
    files = {"repo/Datasets/Fair/views": "wrong", "repo/Datasets/Shop/views": "1", "buys": "2"}
    assert LOOSE.locate(write_zip(tmp_path / "any.zip", files)).read("views") == b"1"
    with pytest.raises(InputError, match=r"not a complete zip archive .*; get views, buys from"):
        LOOSE.locate(__file__)


@pytest.mark.parametrize(
    "name",
    ["/etc/views", "../views", "a/../../views", "..\\views", "C:\\views", "c:views", "\\\\a\\b"],
)
def test_names_that_lead_out_are_refused(tmp_path, write_zip, name):
    archive = write_zip(tmp_path / "shop.zip", {"views": "1", "buys": "2", name: "3"})
    with pytest.raises(InputError, match=r"shop.zip is refused: its member .* leads out") as caught:
        SOURCES.locate(archive)
    assert repr(name) in str(caught.value)


def test_names_that_stay_inside_are_read(tmp_path, write_zip):
    files = {"..a/b..c/views": "1", "shop\\buys": "2", "shop/": "", "__MACOSX/._views": "3"}
    archive = write_zip(tmp_path / "shop.zip", files)
    found = SOURCES.locate(archive)
    assert (found.read("views"), found.read("buys")) == (b"1", b"2")


def test_members_of_one_name(tmp_path, write_zip):
    files = {"a/b/views": "deep", "z/views": "z", "b/views": "b"}
    archive = write_zip(tmp_path / "shop.zip", files)
    assert ONE_FILE.locate(archive).read("views") == b"b"
    inside = {**files, "views": "top", "c/shop/views": "inside"}
    assert ONE_FILE.locate(write_zip(archive, inside)).read("views") == b"inside"
    assert ONE_FILE.locate(write_zip(archive, {**files, "views": "top"})).read("views") == b"top"


def test_encrypted_member(tmp_path, write_zip):
    archive = write_zip(tmp_path / "shop.zip", {"views": "1"})
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"views in .*shop.zip is encrypted"):
        ONE_FILE.locate(archive)


@pytest.fixture
def unpacked(tmp_path):
    """Returns functions that read `views` in memory and through the disk."""
    scratch = tmp_path / "deep" / "scratch"

    def by_path(files):
        try:
            return files.path("views", scratch).read_bytes()
        finally:
            unpacked = [each.name for each in scratch.glob("*")]
            assert unpacked in ([], ["views"])

    return {"read": lambda files: files.read("views"), "path": by_path}


WAYS = pytest.mark.parametrize("way", ["read", "path"])


@WAYS
def test_large_member(tmp_path, write_zip, unpacked, way):
    content = bytes(range(256)) * 20_000  # several chunks
    archive = write_zip(tmp_path / "shop.zip", {"any/views": content})
    assert unpacked[way](ONE_FILE.locate(archive)) == content


def test_path_of_an_unpacked_file_is_its_own(tmp_path):
    write(tmp_path, "views")
    files = ONE_FILE.locate(tmp_path)
    assert files.path("views", tmp_path / "scratch") == tmp_path / "views"
    assert not (tmp_path / "scratch").exists()


@WAYS
def test_bomb_is_stopped(tmp_path, unpacked, way):
    path = tmp_path / "shop.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("views", "w") as member,
    ):
        for _ in range(65):
            member.write(bytes(2**20))
    files = ONE_FILE.locate(tmp_path)
    with pytest.raises(InputError, match=r"views in .*shop.zip is refused: .* 200 times as many"):
        unpacked[way](files)
    assert not (tmp_path / "deep" / "scratch" / "views").exists()


@WAYS
def test_declared_sizes_are_not_trusted(tmp_path, write_zip, unpacked, way, monkeypatch):
    monkeypatch.setattr(zip_members, "_FREE", 1000)
    archive = write_zip(tmp_path / "shop.zip", {"views": bytes(300_000)})
    honest = archive.read_bytes()
    directory = honest.index(b"PK\x01\x02")
    packed, size = directory + 20, directory + 24  # offsets in the central directory
    for field, declared, message in (
        (packed, 2**31, "200 times as many"),  # claims to be hardly compressed
        (size, 10, "cannot be read .*CRC"),
        (size, 2**31, "200 times as many"),
    ):
        content = bytearray(honest)
        content[field : field + 4] = declared.to_bytes(4, "little")
        archive.write_bytes(content)
        with pytest.raises(InputError, match=message):
            unpacked[way](ONE_FILE.locate(archive))


@pytest.mark.parametrize(("way", "limit"), [("read", "MOST_IN_MEMORY"), ("path", "MOST_ON_DISK")])
def test_cap(tmp_path, write_zip, unpacked, way, limit, monkeypatch):
    archive = write_zip(tmp_path / "shop.zip", {"views": bytes(range(256)) * 10})
    monkeypatch.setattr(zip_members, limit, 2560)
    assert len(unpacked[way](ONE_FILE.locate(archive))) == 2560
    monkeypatch.setattr(zip_members, limit, 2559)
    with pytest.raises(
        InputError, match=r"unpacks to more than 2,559 bytes; .* unpack it yourself"
    ):
        unpacked[way](ONE_FILE.locate(archive))


def test_scratch_that_cannot_be_written(tmp_path, write_zip):
    archive = write_zip(tmp_path / "shop.zip", {"views": "1"})
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        InputError, match=r"views in .* cannot be unpacked to .*file.*free disk space"
    ):
        ONE_FILE.locate(archive).path("views", tmp_path / "file" / "scratch")


def test_identity_of_an_archive(tmp_path, write_zip):
    archive = write_zip(tmp_path / "shop.zip", {"views": "1"})
    before = ONE_FILE.locate(archive).identity()
    os.utime(archive, ns=(1, 1))
    after = ONE_FILE.locate(archive).identity()
    assert before != after
    assert [name for name, _, _ in after] == ["shop.zip"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged") / "shop.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("shop/views", "view " * 99)
    return path, path.read_bytes()


@hypothesis.settings(deadline=None, max_examples=200, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=3))
def test_damage_anywhere_is_an_input_error_or_harmless(archive, damages):
    path, content = archive
    content = bytearray(content)
    for place, byte in damages:
        content[place % len(content)] = byte
    path.write_bytes(content)
    try:
        assert ONE_FILE.locate(path).read("views") == b"view " * 99
    except InputError as error:
        assert "\n" not in str(error)
