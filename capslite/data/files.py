"""Finding the files of a data set: in a directory of the user's, or by download.

A file is known by the SHA-256 of its decompressed content, so a copy that somebody packed again is as good
as the original.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from capslite.errors import UserError

GZIP_MAGIC = b"\x1f\x8b"


class RemoteFile(NamedTuple):
    """One file of a data set: its name without ".gz", the checksum of its content, and where to get it."""

    name: str
    sha256: str
    mirrors: tuple[str, ...]  # URLs of the compressed file, tried in turn


def read_files(files: Sequence[RemoteFile], folder: str, data_dir: str | Path | None) -> list[bytes]:
    """Return the checked, decompressed content of each file.

    They are looked for in ``data_dir``, else in the directory that CAPSLITE_DATA names: in the ``folder`` of
    the data set there, then in the directory itself, with and without ".gz". Where neither is given they are
    downloaded once and kept, compressed, in the user's cache.

    Raises UserError if a file is missing, damaged, or cannot be downloaded.
    """
    data_dir = data_dir or os.environ.get("CAPSLITE_DATA")
    if not data_dir:
        return [_download(file, folder, files) for file in files]
    found = {file: _find(file.name, Path(data_dir), folder) for file in files}
    missing = [file.name for file, path in found.items() if path is None]
    if missing:
        raise UserError(
            f"{data_dir} and its folder {folder} lack {', '.join(missing)}, with or without .gz: "
            "put them there, or leave out --data-dir and CAPSLITE_DATA to download them"
        )
    return [_read(path, file) for file, path in found.items() if path is not None]


def _find(name: str, data_dir: Path, folder: str) -> Path | None:
    places = [
        place / candidate for place in (data_dir / folder, data_dir) for candidate in (name, f"{name}.gz")
    ]
    return next((path for path in places if path.is_file()), None)


def _read(path: Path, file: RemoteFile) -> bytes:
    try:
        return _checked(path.read_bytes(), file)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): check its permissions and the disk"
        ) from error
    except ValueError as error:
        raise UserError(f"{path} {error}: delete it and get it again") from error


def _checked(packed: bytes, file: RemoteFile) -> bytes:
    """Return the content of the file, compressed or not. Raises ValueError, saying what is wrong with it."""
    try:
        content = gzip.decompress(packed) if packed.startswith(GZIP_MAGIC) else packed
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"is cut off or damaged ({error})") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != file.sha256:
        raise ValueError(
            f"is damaged or another file: its content has SHA-256 {sha256[:12]}..., "
            f"expected {file.sha256[:12]}..."
        )
    return content


def _download(file: RemoteFile, folder: str, files: Sequence[RemoteFile]) -> bytes:
    """Return the content from the cache, or from the first mirror that has it whole."""
    import pooch  # only here: whoever has the files works without it

    cache = Path(pooch.os_cache("capslite"), folder)
    path = cache / f"{file.name}.gz"
    if path.is_file():
        return _read(path, file)
    get = pooch.HTTPDownloader(progressbar=sys.stderr.isatty())
    failures = []
    for url in file.mirrors:
        print(f"downloading {url}", flush=True)
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(
                dir=cache
            ) as scratch:  # a file in the cache under its name is a whole one
                part = Path(scratch, path.name)
                get(url, str(part), None)
                content = _checked(part.read_bytes(), file)
                part.replace(path)
            return content
        except (OSError, ValueError) as error:  # the errors of requests are OSErrors
            failures.append(f"{url} ({error})")
    raise UserError(
        f"{file.name} could not be downloaded from {' nor '.join(failures)}: check the network, or put "
        f"{', '.join(f.name for f in files)}, with or without .gz, into a directory and name it with "
        "--data-dir or CAPSLITE_DATA"
    )
