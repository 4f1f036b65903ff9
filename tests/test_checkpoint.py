"""Checkpoints and the other files of a run: whole or not there, and never believed when damaged."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capslite.errors import UserError
from capslite.storage import load_checkpoint, read_json, read_rows, save_checkpoint, write_rows

ARRAYS = {"conv1.kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "adam.step": np.array(7)}
STATE = {"epoch": 3, "rng": np.random.default_rng(0).bit_generator.state}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "checkpoint.npz"
    save_checkpoint(path, ARRAYS, STATE)
    return path


def same(arrays, state):
    return (
        arrays.keys() == ARRAYS.keys()
        and all(
            arrays[name].dtype == a.dtype and np.array_equal(arrays[name], a) for name, a in ARRAYS.items()
        )
        and state == STATE
    )


def test_what_was_saved_comes_back(saved):
    """Types, shapes, bytes, and the 128-bit integers of the generator's state."""
    assert same(*load_checkpoint(saved))


def test_no_checkpoint_needs_pickle(saved):
    """A pickle runs code: a checkpoint from a stranger must not be able to."""
    with np.load(saved, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def test_a_flipped_bit_of_an_array_is_found(saved, tmp_path):
    """A wrong weight would train on without a word."""
    content = bytearray(saved.read_bytes())
    content[content.index(ARRAYS["conv1.kernel"].tobytes()) + 5] ^= 1
    flipped = tmp_path / "checkpoint.npz"
    flipped.write_bytes(content)
    with pytest.raises(UserError, match=r"checkpoint\.npz is damaged"):
        load_checkpoint(flipped)


def test_a_missing_checkpoint_and_one_of_another_format_say_so(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load_checkpoint(tmp_path / "checkpoint.npz")
    save_checkpoint(tmp_path / "future.npz", ARRAYS, STATE | {"format": 99})
    with pytest.raises(UserError, match=r"future\.npz has format 99"):
        load_checkpoint(tmp_path / "future.npz")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_checkpoint_and_no_litter(saved, monkeypatch, call):
    """Litter on a full disk keeps it full."""
    before = saved.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[call], full)
    with pytest.raises(UserError, match=r"checkpoint\.npz could not be written \(No space left on device\)"):
        save_checkpoint(saved, {"other": np.zeros(3)}, {"epoch": 4})
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["checkpoint.npz"]


def test_a_crash_while_writing_leaves_the_old_checkpoint(saved, monkeypatch):
    """The process may die anywhere: until the new file is whole, the old one is in its place."""
    before = saved.read_bytes()

    def die(*_):
        raise SystemExit

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(SystemExit):
        save_checkpoint(saved, {"other": np.zeros(3)}, {"epoch": 4})
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert same(*load_checkpoint(saved))
    save_checkpoint(saved, ARRAYS, STATE)  # a left-over part is no obstacle
    assert [path.name for path in saved.parent.iterdir()] == ["checkpoint.npz"]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_a_table_keeps_every_number_to_its_last_digit(tmp_path_factory, numbers):
    """metrics.csv is read back and written again by a resumed run: rounding would change it."""
    path = tmp_path_factory.mktemp("run") / "metrics.csv"
    rows = [{"epoch": epoch, "loss": number} for epoch, number in enumerate(numbers)]
    write_rows(path, rows)
    assert read_rows(path) == rows


def test_files_that_are_not_what_they_should_be_are_one_sentence(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,loss\n1,oops\n")
    with pytest.raises(UserError, match=r"metrics\.csv cannot be read as a table of numbers"):
        read_rows(tmp_path / "metrics.csv")
    with pytest.raises(UserError, match=r"is .* a run directory\?"):
        read_json(tmp_path / "config.json")
    for text in ("{", "[]"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(UserError, match=r"config\.json"):
            read_json(tmp_path / "config.json")
