"""What can go wrong with files and the network, each told in one sentence with a way out."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class DataProblem(Exception):
    """Data that are missing, damaged or cannot be written, told in one sentence with a way out."""


class UnknownName(DataProblem, ValueError):
    """A name or option that does not exist; the sentence holds the nearest that does."""

    @classmethod
    def among(cls, what: str, name: str, known: Iterable[str]) -> UnknownName:
        """The problem of a name that is none of the known ones."""
        nearest = difflib.get_close_matches(name, list(known), 1, 0.0)
        hint = f", the nearest name is {nearest[0]!r}" if nearest else ""
        return cls(f"no {what} is called {name!r}{hint}")


ELSEWHERE = "or set KDCORE_DATA to another folder"


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn what the system says about a file into one sentence; `doing` is ``read`` or ``write``."""
    try:
        yield
    except OSError as error:
        raise DataProblem(_sentence(error, path, doing)) from error


def _sentence(error: OSError, path: Path, doing: str) -> str:
    done = {"read": "read", "write": "written"}[doing]
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"the disk is full, {path} was not written: make room in {path.parent} {ELSEWHERE}"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            where = path.parent if doing == "write" else path
            return f"{where} cannot be {done}: change its permissions {ELSEWHERE}"
        case errno.ENOTDIR | errno.EEXIST | errno.EISDIR:
            return f"{path} cannot be {done}, a file and a folder stand in each other's place: move one {ELSEWHERE}"
        case errno.ENOENT if doing == "read":
            return f"{path} is missing: bring it back {ELSEWHERE}"
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"{path} cannot be {done} ({reason}): mend it {ELSEWHERE}"
