"""The picture is a PNG of the right size for any log, and has no other side effects."""

import dataclasses
import inspect
import struct
import warnings
import zlib

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from hmar_keras.schema import Behaviors
from pipelines.description import picture as description_picture
from pipelines.description.numbers import describe
from pipelines.description.picture import HEIGHT, WIDTH, check_place, draw
from pipelines.runtime.errors import InputError

VIEW, CART, BUY = 1, 2, 3
SECONDS = 1_700_000_000


def size_of_png(path):
    """Checks the checksum of every chunk and returns width and height."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    place, kinds = 8, []
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        chunk = content[place + 4 : place + 8 + length]
        (checksum,) = struct.unpack(">I", content[place + 8 + length : place + 12 + length])
        assert zlib.crc32(chunk) == checksum
        kinds.append(chunk[:4])
        place += 12 + length
    assert (kinds[0], kinds[-1]) == (b"IHDR", b"IEND")
    return struct.unpack(">II", content[16:24])


def drawn(dataset, path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(describe(dataset), path)
    assert size_of_png(path) == (WIDTH, HEIGHT)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_log(log, tmp_path):
    drawn(log, tmp_path / "log.png")
    assert (tmp_path / "log.png").stat().st_size > 20_000


def test_the_same_log_gives_the_same_picture(log, tmp_path):
    pictures = [tmp_path / "first.png", tmp_path / "second.png"]
    for picture in pictures:
        draw(describe(log), picture)
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "times",
    [(0, 0, 0), (SECONDS,) * 3, (1_000 * SECONDS,) * 3, (0, 5, SECONDS), (-5, 2**62, 2**63 - 1)],
)
@pytest.mark.parametrize(
    "users", [[[(1, VIEW)]], [[(1, BUY)]], [[(1, VIEW), (1, BUY), (2, BUY)], []]]
)
def test_degenerate_logs(datasets, tmp_path, users, times):
    dataset = datasets["make"](users)
    times = np.array(times[: dataset.num_events])
    drawn(dataclasses.replace(dataset, timestamps=times), tmp_path / "small.png")


@pytest.mark.slow
@pytest.mark.parametrize("days", [0.0005, 0.01, 1, 30, 300, 3_000, 20_000])
def test_every_kind_of_bin(log, tmp_path, days):
    times = 800_000_000 + np.linspace(0, days * 86_400, log.num_events).astype(np.int64)
    drawn(dataclasses.replace(log, timestamps=times), tmp_path / "span.png")


def test_many_behaviors_with_odd_names(datasets, tmp_path):
    names = tuple(f"a $rather$ long_name^{row}" for row in range(12))
    events = [(1 + place % 50, 1 + min(place % 97, 11)) for place in range(2_000)]
    dataset = datasets["make"]([events, events[:30]], num_items=500)
    odd = dataclasses.replace(dataset, behaviors=Behaviors(names, names[4]), name="$x$ _ ^ 1")
    drawn(odd, tmp_path / "odd.png")


def test_counts_of_very_different_size(datasets, tmp_path):
    events = [(1, VIEW)] * 5_000 + [(2, BUY)] * 3
    drawn(datasets["make"]([events]), tmp_path / "wide.png")


def test_an_old_picture_is_replaced(log, tmp_path):
    (tmp_path / "log.png").write_text("old")
    drawn(log, tmp_path / "log.png")


def test_pyplot_and_the_settings_are_left_alone(log, tmp_path):
    def state():
        names = [name for name in matplotlib.rcParams if name != "backend"]  # reading it sets it
        values = [matplotlib.rcParams[name] for name in names]
        return pyplot.get_fignums(), matplotlib.get_backend(auto_select=False), values

    before = state()
    draw(describe(log), tmp_path / "log.png")
    assert state() == before
    assert "pyplot" not in inspect.getsource(description_picture)


def test_a_bad_place_is_named(log, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for place, part in {
        "file/log.png": "cannot be written",
        "missing/log.png": "cannot be written",
        "folder.png": "is a directory",
        "log.jpg": ".png",
        "log": ".png",
    }.items():
        with pytest.raises(InputError, match=part):
            check_place(tmp_path / place)
    check_place(tmp_path / "log.png")
    for place in ("file/log.png", "missing/log.png", "folder.png"):
        with pytest.raises(InputError, match="cannot be written"):
            draw(describe(log), tmp_path / place)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder.png"}
