"""What a shell completes: keys, experiments, chapters, needs, profiles."""

import pytest

from kdcore.cli import names
from kdcore.cli.commands import app


@pytest.mark.parametrize(
    ("complete", "begun", "wanted"),
    [
        (names.keys, "dk", "dkd"),
        (names.keys, "cifar10", "cifar10-first"),
        (names.experiments, "zhao", "zhao2026-table1"),
        (names.chapters, "resp", "response"),
        (names.needs, "log", "logits"),
        (names.needs, "logits,lab", "logits,labels"),
        (names.profiles, "qu", "quick"),
    ],
)
def test_a_beginning_finds_its_names_and_no_others(complete, begun, wanted):
    found = complete(begun)
    assert wanted in found
    assert all(name.startswith(begun) for name in found)


def test_nothing_is_found_for_what_nothing_begins_with():
    assert [complete("no-such") for complete in (names.keys, names.experiments, names.chapters, names.needs)] == [
        []
    ] * 4


def test_a_shell_can_install_it():
    import typer.main

    options = [name for option in typer.main.get_command(app).params for name in option.opts]
    assert {"--install-completion", "--show-completion"} <= set(options)


def test_the_shell_is_answered(kdcore, monkeypatch):
    monkeypatch.setenv("_KDCORE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "kdcore show dkd-log")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert kdcore().out.split() == ["dkd-logit-std"]
