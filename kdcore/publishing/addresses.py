"""Where the project stands in the world, as far as the clone or the workflow says; nothing is typed by hand."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit


def public(address: str) -> str:
    """A repository's address as a browser wants it; empty where it is not one that others could open.

    >>> public("git@github.com:someone/thing.git")
    'https://github.com/someone/thing'
    >>> public("https://name:secret@gitlab.com/someone/thing")
    'https://gitlab.com/someone/thing'
    >>> public("/srv/git/thing.git"), public("http://localhost:3000/a/b"), public("ssh://git@10.0.0.7/a/b")
    ('', '', '')
    """
    if short := re.fullmatch(r"[\w.-]+@([\w.-]+):(?!/)(.+)", address):
        address = f"ssh://{short[1]}/{short[2]}"
    parts = urlsplit(address)
    host = parts.hostname or ""
    owner_and_name = parts.path.strip("/").removesuffix(".git")
    named = re.fullmatch(r"[\w-]+(\.[\w-]+)*\.[a-z]{2,}", host) and not host.endswith((".local", ".internal", ".lan"))
    if parts.scheme not in ("http", "https", "ssh", "git") or not named or "/" not in owner_and_name:
        return ""
    return f"https://{host}/{owner_and_name}"


def repository(root: Path) -> str:
    """Where the clone came from: the workflow's own word, else git's."""
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return public(f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{name}")
    try:
        asked = subprocess.run(
            ["git", "remote", "get-url", "origin"], cwd=root, capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return public(asked.stdout.strip())


def base(repository: str) -> str:
    """Where the book will stand, as far as anybody has said so."""
    if told := os.environ.get("KDCORE_BOOK_URL"):
        return told.rstrip("/") + "/"
    owner, _, name = os.environ.get("GITHUB_REPOSITORY", "").partition("/")
    return f"https://{owner}.github.io/{name}/" if name and "//github.com/" in repository else ""


def source(repository: str, path: str) -> str:
    """A file of the repository as its server shows it; empty where no server is known.

    >>> source("https://github.com/someone/thing", "tests/test_a.py")
    'https://github.com/someone/thing/blob/HEAD/tests/test_a.py'
    >>> source("https://gitlab.com/someone/thing", "tests/test_a.py")
    'https://gitlab.com/someone/thing/-/blob/HEAD/tests/test_a.py'
    >>> source("", "tests/test_a.py"), source("https://forge.example.org/a/b", "tests/test_a.py")
    ('', '')
    """
    places = {"//github.": "blob/HEAD", "//gitlab.": "-/blob/HEAD", "//bitbucket.": "src/HEAD"}
    place = next((place for server, place in places.items() if server in repository), "")
    return f"{repository}/{place}/{path}" if place else ""
