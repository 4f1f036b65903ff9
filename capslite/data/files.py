"""Finding the files of a data set: in a directory of the user's, or by download.

A file is known by the SHA-256 of its decompressed content, so a copy that somebody packed again is as good
as the original.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from pathlib import Path
from typing import NamedTuple

from capslite.errors import UserError

GZIP_MAGIC = b"\x1f\x8b"


class RemoteFile(NamedTuple):
    """One file of a data set: its name without ".gz", the checksum of its content, and where to get it."""

    name: str
    sha256: str
    mirrors: tuple[str, ...]  # URLs of the compressed file, tried in turn


def read(file: RemoteFile, folder: str, data_dir: str | Path | None) -> bytes:
    """Return the checked content of a file.

    It is looked for in ``data_dir``, else in the directory that CAPSLITE_DATA names, in the ``folder`` of the
    data set there or in the directory itself, with and without ".gz". Where neither is given it is
    downloaded once and kept in the user's cache.

    Raises UserError if the file is missing, damaged, or cannot be downloaded.
    """
    data_dir = data_dir or os.environ.get("CAPSLITE_DATA")
    if not data_dir:
        return _download(file, folder)
    candidates = [Path(data_dir, *parts) for parts in [(folder, file.name), (file.name,)]]
    candidates = [path for plain in candidates for path in (plain, plain.with_name(plain.name + ".gz"))]
    for path in candidates:
        if path.is_file():
            return _checked(path, file)
    raise UserError(
        f"{file.name} is neither in {data_dir} nor in its folder {folder}, with or without .gz: "
        "put it there, or leave out --data-dir and CAPSLITE_DATA to download it"
    )


def _checked(path: Path, file: RemoteFile) -> bytes:
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == GZIP_MAGIC else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: cannot be decompressed ({error}): delete it and get it again") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): check its permissions") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != file.sha256:
        raise UserError(
            f"{path}: its content has SHA-256 {sha256[:12]}..., expected {file.sha256[:12]}...: "
            "the file is damaged or another one, delete it and get it again"
        )
    return content


def _download(file: RemoteFile, folder: str) -> bytes:
    """Return the content from the cache, or from the first mirror that has it whole."""
    import pooch  # only here: everything else works without it

    cache = pooch.os_cache("capslite") / folder
    path = cache / f"{file.name}.gz"
    if path.is_file():
        return _checked(path, file)
    failures = []
    for url in file.mirrors:
        try:
            pooch.retrieve(url, known_hash=None, fname=f"{path.name}.part", path=cache, progressbar=True)
            part = path.with_name(f"{path.name}.part")
            content = _checked(part, file)
            part.replace(path)
            return content
        except Exception as error:  # a mirror can fail in any way: the next one may work
            failures.append(f"{url} ({error})")
            path.with_name(f"{path.name}.part").unlink(missing_ok=True)
    raise UserError(
        f"{file.name} could not be downloaded from {' nor '.join(failures)}: "
        "check the network, or put the file in a directory and name it with --data-dir"
    )
