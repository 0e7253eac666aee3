"""What ``pip install .`` gives: the library with its type marker and the surveys' data, and nothing beside it."""

import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import kdcore

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names in the wheel, built without a network."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the wheel, is not installed here")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        return opened.namelist()


class TestWheel:
    def test_it_holds_the_package_and_its_own_description(self, wheel):
        assert {name.split("/")[0] for name in wheel} == {"kdcore", f"kdcore-{kdcore.__version__}.dist-info"}

    def test_with_the_type_marker_and_the_surveys_data(self, wheel):
        data = [f"kdcore/survey/{path.name}" for path in (ROOT / "kdcore" / "survey").glob("*.yaml")]
        assert {"kdcore/py.typed", "kdcore/data/digits.json", *data} <= set(wheel)

    def test_with_both_licence_files(self, wheel):
        assert {name.rpartition("/")[2] for name in wheel if "/licenses/" in name} == {"LICENSE", "NOTICE"}


class TestOneVersion:
    def test_everywhere(self):
        assert PROJECT["project"]["version"] == kdcore.__version__ == str(CITATION["version"])

    def test_the_changelog_knows_it(self):
        assert re.search(rf"^## {re.escape(kdcore.__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.M)


class TestLicences:
    """Code Apache-2.0, the book's text, figures and records CC BY 4.0: said wherever somebody looks."""

    @pytest.mark.parametrize("file", ["README.md", "_config.yml", "pyproject.toml", "NOTICE"])
    def test_both_are_named(self, file):
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(r"Apache(-2\.0| License, version 2\.0)", text)
        assert "CC BY 4.0" in text

    @pytest.mark.parametrize("named", ["Krizhevsky", "BSD-2-Clause", "MathJax", "fonts"])
    def test_third_parties_are_named(self, named):
        assert named in (ROOT / "NOTICE").read_text(encoding="utf-8")
