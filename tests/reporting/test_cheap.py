"""What an import costs, and that the examples in the docstrings hold."""

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import kdcore.reporting

HEAVY = ("torch", "numpy", "scipy", "pandas", "matplotlib", "seaborn", "IPython", "sphinx", "kdcore.experiments")
NAMES = [
    module.name
    for module in pkgutil.walk_packages(kdcore.reporting.__path__, "kdcore.reporting.")
    if not module.name.endswith("inline")  # a Sphinx extension
]


class TestImport:
    def test_nothing_heavy_is_loaded_before_it_is_needed(self):
        code = "import sys, kdcore.reporting; print([name for name in sys.argv[1:] if name in sys.modules])"
        found = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "[]"

    def test_a_table_in_plain_text_needs_no_matplotlib_and_no_pandas(self):
        code = (
            "import sys; from kdcore.reporting import result_table\n"
            "r = [dict(experiment='e', row='kd', seed=0, status='done', hash='h', last={'accuracy': 0.5})]\n"
            "print(result_table(r).text()); print([m for m in ('matplotlib', 'pandas', 'torch') if m in sys.modules])"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout.strip().endswith("[]") and "50.0 (1)" in found.stdout


class TestExamples:
    @pytest.mark.parametrize("name", NAMES)
    def test_examples_in_docstrings_hold(self, name):
        importlib.import_module(name)
        assert doctest.testmod(sys.modules[name]).failed == 0
