"""Files that are either whole or not there: run directories, checkpoints, tables."""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from capslite.errors import UserError

CHECKPOINT_FORMAT = 1


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file so that a crash at any moment leaves either the old one or the new one.

    Written beside its place, forced to disk, then renamed. Raises UserError if that fails (a full disk, a
    directory without permission); the old file is then as it was.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(
            f"{path} could not be written ({error.strerror}); what was saved before is unchanged: "
            "make room or permission there, then go on with --resume"
        ) from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object."""
    write_whole(path, lambda file: file.write(json.dumps(content, indent=2).encode() + b"\n"))


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object. Raises UserError if the file is missing or is none."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): is {path.parent} a run directory?") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}): restore it, or train again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}; expected a JSON object: restore it, or train again")
    return content


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a CSV table, numbers to their last digit."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_whole(path, lambda file: file.write(text.getvalue().encode()))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a CSV table of numbers. Raises UserError if it is missing or damaged."""
    try:
        with path.open(newline="") as file:
            return [{name: _number(text) for name, text in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read as a table of numbers ({error}): restore it, or train again") from error


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


def save_checkpoint(path: Path, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
    """Write arrays, and a state of plain JSON values, as one .npz without pickle.

    The format carries a checksum of every array (the zip's CRC-32), which loading verifies.
    """
    text = json.dumps({"format": CHECKPOINT_FORMAT, **state}).encode()
    packed = {**arrays, "state": np.frombuffer(text, np.uint8)}
    write_whole(path, lambda file: np.savez(file, **packed))


def load_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the state of a checkpoint.

    Raises UserError if it is missing, damaged in any way, or of another version's format.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        state = json.loads(arrays.pop("state").tobytes())
        version = state.pop("format")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: no epoch of this run was finished, train it again") from error
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}): restore it from a copy, or train again") from error
    if version != CHECKPOINT_FORMAT:
        raise UserError(
            f"{path} has format {version}, this capslite reads {CHECKPOINT_FORMAT}: use the version it was written with"
        )
    return arrays, state
