import pytest

from pipelines.datasets.movielens.ratings import parse_ratings
from pipelines.runtime.errors import InputError

HEADER = b"userId,movieId,rating,timestamp\n"


@pytest.mark.parametrize(
    ("file_name", "content"),
    [
        ("u.data", b"1\t20\t4\t900\n3\t4\t2\t899\n"),
        ("ratings.dat", b"1::20::4::900\n3::4::2::899"),
        ("ratings.dat", b"1::20::4::900\r\n3::4::2::899\r\n"),
        ("ratings.csv", HEADER + b"1,20,4.0,900\n3,4,2.0,899\n"),
    ],
)
def test_forms(file_name, content):
    columns = parse_ratings(content, file_name, "label")
    assert {name: values.tolist() for name, values in columns.items()} == {
        "userId": [1, 3],
        "movieId": [20, 4],
        "rating": [4.0, 2.0],
        "timestamp": [900, 899],
    }


@pytest.mark.parametrize(
    ("file_name", "content", "message"),
    [
        ("ratings.dat", b"", "label is empty"),
        ("ratings.dat", b"\n\n", "label is empty"),
        ("ratings.csv", HEADER, "label is empty"),
        ("ratings.dat", b"1::2::good::4\n", "label does not hold numbers for .*good"),
        ("ratings.dat", b"1::2::3\n", "label does not hold"),
        ("ratings.dat", b"1::2::3::4\n1::2::3::4::5\n", "label does not hold"),
        ("ratings.dat", b"1,2,3,4\n", "label does not hold"),
        ("ratings.dat", b"1::2::3.5::4.5\n", "label does not hold"),
        ("ratings.dat", b"1::2::::4\n", "column rating has missing values"),
        ("ratings.dat", b"1::2::nan::4\n", "column rating has missing values"),
        ("ratings.dat", b"1::2::5::4\n1::2::6::4\n", "at most 5, got 6.0 in rating 2"),
        ("ratings.dat", b"1::2::0::4\n", "above 0 .* got 0.0 in rating 1"),
        ("ratings.csv", b"user,item,rating,timestamp\n1,2,3,4\n", "must have the columns userId"),
        ("ratings.csv", b"userId,movieId,rating\n1,2,3\n", "must have the columns .* timestamp"),
        ("ratings.dat", b"\x00\xff\xfe" * 50, "label"),
    ],
)
def test_bad_content(file_name, content, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_ratings(content, file_name, "label")
    assert "\n" not in str(caught.value)
