import doctest
import subprocess

import pytest

from kdcore.publishing import addresses


@pytest.fixture(autouse=True)
def nobody_says(monkeypatch):
    for name in ("GITHUB_REPOSITORY", "GITHUB_SERVER_URL", "KDCORE_BOOK_URL"):
        monkeypatch.delenv(name, raising=False)


class TestPublic:
    @pytest.mark.parametrize(
        ("address", "shown"),
        [
            ("https://github.com/someone/thing.git", "https://github.com/someone/thing"),
            ("git@github.com:someone/thing.git", "https://github.com/someone/thing"),
            ("ssh://git@gitlab.com:22/group/sub/thing.git", "https://gitlab.com/group/sub/thing"),
            ("https://user:token@github.com/someone/thing", "https://github.com/someone/thing"),
            ("", ""),
            ("/srv/git/thing.git", ""),
            ("../thing", ""),
            ("file:///srv/git/thing.git", ""),
            ("http://localhost:3000/someone/thing", ""),
            ("https://10.0.0.7/someone/thing", ""),
            ("https://forge.internal/someone/thing", ""),
            ("git@forge:someone/thing", ""),
            ("https://github.com/", ""),
        ],
    )
    def test_only_what_others_could_open_and_never_a_password(self, address, shown):
        assert addresses.public(address) == shown

    def test_the_examples_hold(self):
        assert doctest.testmod(addresses).failed == 0


class TestRepository:
    def test_a_clone_knows_where_it_came_from(self, tmp_path):
        git = lambda *words: subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)
        git("init")
        assert addresses.repository(tmp_path) == ""
        git("remote", "add", "origin", "git@github.com:someone/thing.git")
        assert addresses.repository(tmp_path) == "https://github.com/someone/thing"

    def test_a_workflow_says_it_too(self, tmp_path, monkeypatch):
        monkeypatch.setenv("GITHUB_REPOSITORY", "someone/thing")
        assert addresses.repository(tmp_path) == "https://github.com/someone/thing"
        assert addresses.base("https://github.com/someone/thing") == "https://someone.github.io/thing/"

    def test_the_book_has_an_address_only_where_somebody_said_so(self, monkeypatch):
        assert addresses.base("https://github.com/someone/thing") == ""
        monkeypatch.setenv("KDCORE_BOOK_URL", "https://example.org/book")
        assert addresses.base("") == "https://example.org/book/"
