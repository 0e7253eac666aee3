"""Processes that end with the one that started them."""

from __future__ import annotations

import os
from multiprocessing import connection, parent_process


def end_with_parent() -> None:
    """Wait, in a thread of a process that `multiprocessing` started, and end it when its parent is gone.

    The operating system closes the sentinel also where the parent was killed and could not say goodbye.
    """
    connection.wait([parent_process().sentinel])
    os._exit(1)
