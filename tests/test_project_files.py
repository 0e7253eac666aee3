"""What stands around the code: README, workflows, templates, citation, changelog; each says what is so."""

import re
import subprocess
from pathlib import Path

import pytest
import typer.main
import yaml

import kdcore
from kdcore import experiments
from kdcore.cli.commands import app
from kdcore.reporting.editions import edition_named

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in
         ("README.md", "CONTRIBUTING.md", "book/use.md", "book/rerun.md", "book/clusters.md",
          "book/cite.md")}  # fmt: skip
FENCE = re.compile(r"^```bash\n(.*?)^```", re.S | re.M)
SECTIONS = ["Read", "Use one loss", "Rerun", "Cite", "What is measured, and what is not yet", "Size and time",
            "Supported systems", "Licence"]  # fmt: skip
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}


def lines(text):
    """Commands of the shell blocks, without comments and assignments in front."""
    for block in FENCE.findall(text):
        for line in block.splitlines():
            command = line.partition("#")[0].strip().removesuffix("&").strip()
            if command:
                yield re.sub(r"^(\w+=\S+ )+", "", command)


def commands(program, pages=PAGES):
    """What is told to be typed after a program, with the page that tells it."""
    return [(name, line) for name, text in pages.items() for line in lines(text) if line.split()[0] == program]


class TestReadme:
    def test_its_sections_stand_in_the_order_in_which_a_visitor_asks(self):
        assert re.findall(r"^## (.*)$", README, re.M) == SECTIONS

    def test_two_sentences_and_a_picture_come_first(self):
        head = README.partition("\n## ")[0]
        said = " ".join(head.splitlines()[1:]).partition("![")[0]
        assert len(re.findall(r"\.(?=\s|$)", said)) == 2
        shown = re.search(r"!\[[^\]]+\]\((\S+)\)", head)[1]
        assert (ROOT / shown).is_file()

    def test_it_names_no_address_that_nobody_gave(self):
        assert not re.search(r"example\.(com|org|github)|USER|your-name|<url>|TODO", README, re.I)
        assert "http" not in README

    def test_every_file_that_it_names_is_there(self):
        for name in re.findall(r"`([\w./]+\.(?:md|cff|yml|toml)|NOTICE)`", README):
            assert (ROOT / name).is_file(), name

    def test_every_profile_has_its_line(self):
        from kdcore.experiments.types import PROFILES

        assert re.findall(r"^\| `(\w+)`", README, re.M) == list(PROFILES)


class TestCommands:
    @pytest.mark.parametrize(("page", "line"), commands("make"))
    def test_make_knows_them(self, page, line):
        words = line.split()[1:]
        assert [word for word in words if "=" not in word and word not in TARGETS] == []
        done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize(("page", "line"), commands("kdcore"))
    def test_the_command_line_takes_them(self, page, line):
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)[1:]]
        assert parsed(words)

    def test_what_they_name_exists(self):
        for page, line in commands("kdcore"):
            words = line.split()
            if words[1] in ("run", "status", "table") and len(words) > 2:
                assert words[2] in experiments.names(), f"{page}: {line}"
            if "--edition" in words:
                assert edition_named(words[2], words[words.index("--edition") + 1])

    def test_those_for_conda_stand_in_the_environment_file_too(self):
        told = (ROOT / "environment.yml").read_text()
        (create,) = (line for _, line in commands("conda", {"README.md": README}) if "create" in line)
        assert create in told

    @pytest.mark.slow
    def test_those_of_the_readme_do_what_they_say(self, tmp_path, monkeypatch, capsys):
        """In their order, in one store; ``smoke`` stands for the longer profiles."""
        from kdcore.cli import main

        monkeypatch.setenv("KDCORE_RUNS", str(tmp_path / "runs"))
        for _, line in commands("kdcore", {"README.md": README}):
            words = re.sub(r"--profile \w+", "--profile smoke", line).split()[1:]
            with pytest.raises(SystemExit) as ended:
                main(words)
            assert ended.value.code == 0, line
            assert capsys.readouterr().out.strip(), line


def parsed(words):
    """Whether the parser takes these words, without carrying anything out."""
    command = typer.main.get_command(app)
    context = command.make_context("kdcore", list(words))
    while hasattr(command, "resolve_command"):
        rest = [*getattr(context, "_protected_args", []), *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return True


class TestWorkflows:
    @pytest.mark.parametrize("name", sorted(WORKFLOWS))
    def test_every_step_is_an_action_or_a_target_of_the_makefile(self, name):
        for job in WORKFLOWS[name]["jobs"].values():
            for step in job["steps"]:
                if "run" in step:
                    program, target, *values = step["run"].split()
                    assert program == "make" and target in TARGETS
                    assert all(re.fullmatch(r"[A-Z]+=\S+", value) for value in values)
                else:
                    assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])

    def test_tests_run_on_linux_and_macos_with_every_python_of_the_project(self):
        import tomllib

        asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
        matrix = WORKFLOWS["tests.yml"]["jobs"]["tests"]["strategy"]["matrix"]
        assert {system.partition("-")[0] for system in matrix["system"]} == {"ubuntu", "macos"}
        assert asked == f">={matrix['python'][0]},<3.{int(matrix['python'][-1].partition('.')[2]) + 1}"

    def test_a_book_is_looked_at_before_it_is_put_out(self):
        steps = WORKFLOWS["book.yml"]["jobs"]["build"]["steps"]
        said = [step.get("run", step.get("uses")) for step in steps]
        build, check = (
            next(place for place, one in enumerate(said) if f"make {word}" in one) for word in ("book", "check")
        )
        put = next(place for place, one in enumerate(said) if "upload-pages-artifact" in one)
        assert build < check < put and steps[put]["with"]["path"] == "_build/html"

    def test_the_one_for_a_gpu_starts_by_hand_alone(self):
        flow = WORKFLOWS["gpu.yml"]
        assert list(flow[True]) == ["workflow_dispatch"]  # YAML reads `on` as true
        assert "self-hosted" in flow["jobs"]["book"]["runs-on"]


class TestTemplates:
    @pytest.mark.parametrize("name", ["error_in_the_book", "add_a_method"])
    def test_each_checklist_of_contributing_has_one(self, name):
        form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
        assert {"name", "description", "body"} <= set(form)
        assert any(part.get("validations", {}).get("required") for part in form["body"])
        titles = re.findall(r"^## (.*)$", PAGES["CONTRIBUTING.md"], re.M)
        assert {"Report an error in the book", "Add a method"} <= set(titles)


class TestCitation:
    def test_it_has_what_a_reader_of_such_files_asks_for(self):
        cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
        assert {"cff-version", "message", "title", "authors", "version", "license"} <= set(cited)

    def test_it_is_of_the_version_and_the_day_that_the_changelog_has(self):
        cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
        version, day = re.search(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M).groups()
        assert cited["version"] == version == kdcore.__version__
        assert str(cited.get("date-released", "unreleased")) == day

    def test_it_names_the_surveys(self):
        from kdcore import survey

        cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
        titles = {text["title"] for text in survey.surveys() if text["kind"] == "survey"}
        assert titles == {one["title"] for one in cited["references"]}
