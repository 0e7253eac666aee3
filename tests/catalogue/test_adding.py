"""CONTRIBUTING's "Add a method", followed on a made-up loss: four files, and everything else finds it by itself."""

import json
import shutil

import pytest

from kdcore.catalogue import CHAPTERS, show, why
from kdcore.catalogue.entries import ROOT, entries
from kdcore.catalogue.evidence import Evidence
from kdcore.catalogue.needs import needs
from kdcore.catalogue.syntax import Tree

MODULE = '''"""Logits as directions: how far the student's points away from the teacher's."""

from kdcore.types import Entry, Method, Term


def angle_loss(student_logits, teacher_logits, *, reduction="mean"):
    """Match the direction of centred logits, whatever their length."""
    return (student_logits - teacher_logits).mean()


class Angle(Method):
    """`angle_loss` on the whole answer, beside the labels."""

    def __init__(self, *, weight=1.0):
        super().__init__()
        self.weight = weight

    def losses(self, student, teacher, batch):
        return {"angle": Term(angle_loss(student.logits, teacher.logits), self.weight)}


ENTRIES = (Entry("angle", "loss", Angle, {}, "made up"),)
'''
TEST = """from kdcore.losses.response.angle import angle_loss


class TestAngle:
    def test_opposite_directions_are_two_apart(self):
        assert angle_loss(1, -1) == 2
"""
CELL = "from kdcore.losses.response.angle import angle_loss\nangle_loss(student_logits, teacher_logits)"
FILES = {
    "kdcore/losses/response/angle.py": lambda text: MODULE,
    "tests/losses/response/test_angle.py": lambda text: TEST,
    "notebooks/03_response.ipynb": lambda text: with_cell(text),
    "book/references.bib": lambda text: text + "\n@misc{madeup, author={Nobody}, title={Made up}, year={2026}}\n",
}


def with_cell(text):
    notebook = json.loads(text)
    notebook["cells"].append({"cell_type": "markdown", "metadata": {}, "source": "(angle)=\n## Directions {zh}`方向`"})
    notebook["cells"].append({"cell_type": "code", "metadata": {}, "source": CELL, "outputs": []})
    return json.dumps(notebook)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what the catalogue reads, with the four files of the checklist."""
    root = tmp_path_factory.mktemp("clone")
    for name in ("kdcore/losses", "tests/losses", "notebooks"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("kdcore/types.py", "kdcore/entry.py", "book/references.bib"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for name, change in FILES.items():
        path = root / name
        path.write_text(change(path.read_text("utf-8") if path.is_file() else ""), "utf-8")
    return Tree(root)


def test_the_checklist_names_these_four():
    steps = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## Add a method")[2].partition("## ")[0]
    for name in ("kdcore/losses/", "tests/losses/", "notebook", "book/references.bib"):
        assert name in steps
    assert steps.count("- [ ]") == len(FILES) == 4


def test_the_catalogue_lists_it(tree):
    (found,) = (entry for entry in entries(tree.root) if entry.key == "angle")
    assert found.module == "kdcore/losses/response/angle.py" and found.make == "Angle"
    assert needs(tree.root)["angle"] == ("logits",)


def test_its_code_its_test_and_its_cell_are_found(tree):
    parts = {part.what: part.found for part in Evidence(tree).parts("angle", "loss", CHAPTERS["response"])}
    assert parts == {
        "module": "kdcore/losses/response/angle.py",
        "test": "tests/losses/response/test_angle.py::TestAngle",
        "notebook": "notebooks/03_response.ipynb",
    }


def test_the_terminal_tells_its_function_its_method_and_what_is_there(tree):
    said = " ".join(str(show("angle", tree.root)).split())
    for part in ("is: made up", "method Angle: `angle_loss` on the whole answer", "reduction = 'mean'"):
        assert part in said
    first, *parts = why("angle", tree.root).splitlines()
    assert "no row of the surveys or the additions" in first and all(part.startswith("There is") for part in parts)
