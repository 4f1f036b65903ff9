import gzip
import hashlib
import inspect
import sys

import pooch
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from capslite.data.files import RemoteFile, read_files
from capslite.errors import UserError

CONTENT = bytes(range(256)) * 20
PACKED = gzip.compress(CONTENT, mtime=0)
MIRRORS = ("https://one.example/images.gz", "https://two.example/images.gz")
IMAGES = RemoteFile("images", hashlib.sha256(CONTENT).hexdigest(), MIRRORS)
LABELS = RemoteFile("labels", hashlib.sha256(b"labels").hexdigest(), ("https://one.example/labels.gz",))


@pytest.fixture(autouse=True)
def no_directory_from_outside(monkeypatch):
    monkeypatch.delenv("CAPSLITE_DATA", raising=False)


@pytest.mark.parametrize("place", ["images", "images.gz", "digits/images", "digits/images.gz"])
@pytest.mark.parametrize("packed", [CONTENT, gzip.compress(CONTENT, 1), gzip.compress(CONTENT, 9)])
def test_found_in_the_directory_or_its_folder_however_it_is_packed(tmp_path, monkeypatch, place, packed):
    """Its content tells whether a file is compressed, not its name: browsers unpack without renaming."""
    (tmp_path / "digits").mkdir()
    (tmp_path / place).write_bytes(packed)
    monkeypatch.setitem(sys.modules, "pooch", None)  # files that are there need no downloader
    assert read_files([IMAGES], "digits", tmp_path) == [CONTENT]
    monkeypatch.setenv("CAPSLITE_DATA", str(tmp_path))
    assert read_files([IMAGES], "digits", None) == [CONTENT]


def test_the_given_directory_goes_before_the_environment(tmp_path, monkeypatch):
    (tmp_path / "images").write_bytes(CONTENT)
    monkeypatch.setenv("CAPSLITE_DATA", str(tmp_path / "nowhere"))
    assert read_files([IMAGES], "digits", tmp_path) == [CONTENT]


def test_all_that_is_missing_is_named_and_nothing_is_downloaded(tmp_path, monkeypatch):
    """Whoever names a directory may be offline, or mean other files than the mirrors have."""
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(
        UserError, match=r"lack images, labels, with or without \.gz: put them there"
    ) as caught:
        read_files([IMAGES, LABELS], "digits", tmp_path)
    assert str(tmp_path) in str(caught.value)


@given(position=st.integers(0, len(CONTENT) - 1), bit=st.integers(0, 7))
def test_one_flipped_bit_of_the_content_is_noticed(tmp_path_factory, position, bit):
    """Nothing in the format itself would tell: a pixel or a label would just be another."""
    damaged = bytearray(CONTENT)
    damaged[position] ^= 1 << bit
    refused(tmp_path_factory.mktemp("data") / "images", bytes(damaged), "damaged or another file")


@given(position=st.integers(2, len(PACKED) - 1), bit=st.integers(0, 7))
def test_one_flipped_bit_of_the_compressed_file_is_one_sentence(tmp_path_factory, position, bit):
    """gzip has four kinds of exceptions for this; bits that matter to nobody (a time stamp) may pass."""
    damaged = bytearray(PACKED)
    damaged[position] ^= 1 << bit
    path = tmp_path_factory.mktemp("data") / "images.gz"
    try:
        unpacked = gzip.decompress(damaged)
    except Exception:
        refused(path, bytes(damaged), "damaged")
    else:
        path.write_bytes(damaged)
        assert unpacked == CONTENT
        assert read_files([IMAGES], "digits", path.parent) == [CONTENT]


@given(length=st.integers(0, len(PACKED) - 1))
def test_a_download_that_broke_off_is_one_sentence(tmp_path_factory, length):
    refused(tmp_path_factory.mktemp("data") / "images.gz", PACKED[:length], "damaged")


def refused(path, content, reason):
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_files([IMAGES], "digits", path.parent)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path} is ")
    assert reason in sentence
    assert sentence.endswith("delete it and get it again")
    assert "\n" not in sentence


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "images").write_bytes(CONTENT)

    def denied(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", denied)
    with pytest.raises(UserError, match=r"images cannot be read \(Permission denied\)"):
        read_files([IMAGES], "digits", tmp_path)


class Web:
    """A network of made-up answers, by URL: bytes to send, or an exception to raise halfway."""

    def __init__(self, cache):
        self.cache, self.answers, self.asked = cache, {}, []

    def __call__(self, url, output_file, pooch):
        self.asked.append(url)
        answer = self.answers[url]
        with open(output_file, "wb") as file:
            file.write(PACKED[:100] if isinstance(answer, Exception) else answer)
        if isinstance(answer, Exception):
            raise answer


@pytest.fixture
def web(tmp_path, monkeypatch):
    web = Web(tmp_path / "capslite" / "digits")
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda progressbar: web)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    return web


def test_the_made_up_downloader_is_called_as_the_real_one_can_be():
    inspect.signature(pooch.HTTPDownloader(progressbar=False)).bind("url", "file", None)


def test_a_file_is_downloaded_once(web):
    web.answers = {MIRRORS[0]: PACKED}
    assert read_files([IMAGES], "digits", None) == [CONTENT]
    assert read_files([IMAGES], "digits", None) == [CONTENT]
    assert web.asked == [MIRRORS[0]]
    assert [path.name for path in web.cache.iterdir()] == ["images.gz"]


@pytest.mark.parametrize(
    "answer",
    [
        requests.exceptions.ConnectionError("no route"),
        requests.exceptions.HTTPError("404"),
        requests.exceptions.ChunkedEncodingError("broke off"),
        TimeoutError("timed out"),
        b"<html>moved</html>",
        PACKED[:-20],
        gzip.compress(b"other"),
    ],
)
def test_the_next_mirror_is_tried(web, answer):
    """An error page answered with "200 OK" is as bad a download as none."""
    web.answers = {MIRRORS[0]: answer, MIRRORS[1]: PACKED}
    assert read_files([IMAGES], "digits", None) == [CONTENT]
    assert web.asked == list(MIRRORS)
    assert [path.name for path in web.cache.iterdir()] == ["images.gz"]


def test_without_any_mirror_the_user_learns_which_files_to_put_where(web):
    web.answers = {MIRRORS[0]: OSError("no route to host"), MIRRORS[1]: b"<html>"}
    with pytest.raises(UserError) as caught:
        read_files([IMAGES, LABELS], "digits", None)
    sentence = str(caught.value)
    for words in (
        "no route to host",
        "damaged or another file",
        "images, labels",
        "--data-dir or CAPSLITE_DATA",
        *MIRRORS,
    ):
        assert words in sentence
    assert "\n" not in sentence
    assert list(web.cache.iterdir()) == []


def test_a_file_damaged_in_the_cache_is_named(web):
    web.cache.mkdir(parents=True)
    damaged = web.cache / "images.gz"
    damaged.write_bytes(PACKED[:50])
    with pytest.raises(UserError, match="delete it and get it again") as caught:
        read_files([IMAGES], "digits", None)
    assert str(damaged) in str(caught.value)
    assert web.asked == []
