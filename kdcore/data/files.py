"""The data folder, and writing into it so that a file is either whole or not there."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from kdcore.data.problems import DataProblem, explained

CHUNK = 1 << 20
PATIENCE = 30.0  # seconds without a byte before a download is given up


def folder() -> Path:
    """Where data files live: ``$KDCORE_DATA``, else ``~/.cache/kdcore``."""
    return Path(os.environ.get("KDCORE_DATA") or Path.home() / ".cache" / "kdcore").expanduser()


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name only when it was written whole and stands on the disk.

    It is written beside its final place, synchronised and renamed; whatever happens before leaves the old file, if
    any, as it was.
    """
    with explained(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        _sync_folder(path.parent)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(path: Path) -> None:
    """Make a rename outlive a power cut, where folders can be opened (not on Windows)."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with explained(path, "read"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(address: str, path: Path, sha256: str, progress: Callable[[int], None] | None = None) -> None:
    """Fetch one file, check what came, and only then give it its name.

    Args:
        address: where it is.
        path: where it goes.
        sha256: what it must be.
        progress: told how many bytes have come so far.
    """
    found, size = hashlib.sha256(), 0
    with written(path) as file:
        for block in _blocks(address, path):
            file.write(block)
            found.update(block)
            size += len(block)
            if progress is not None:
                progress(size)
        if found.hexdigest() != sha256:
            raise DataProblem(
                f"{address} sent {size:,} bytes that are not {path.name} (SHA-256 {found.hexdigest()[:12]}, expected "
                f"{sha256[:12]}): try again later, or put the file into {path.parent} by hand"
            )


def _blocks(address: str, path: Path) -> Iterator[bytes]:
    """The bytes of an address; what a network does wrong becomes one sentence, what the disk does is left alone."""
    way_out = f"check the network, or put {path.name} into {path.parent} by hand"
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            while True:
                block = answer.read(CHUNK)
                if not block:
                    return
                yield block
    except urllib.error.HTTPError as error:
        error.close()
        raise DataProblem(f"{address} answered {error.code} {error.reason}: {way_out}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error or "it stopped answering"
        raise DataProblem(f"{address} could not be reached ({reason}): {way_out}") from error
