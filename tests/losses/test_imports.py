"""What a practitioner needs to take one loss: torch, and nothing of ours that loads more."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torchvision", "pandas", "sklearn", "scipy", "seaborn", "matplotlib", "yaml", "typer", "kdcore.engine")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestImport:
    def test_one_loss_loads_torch_and_nothing_heavy(self):
        said = python(
            f"import sys; from kdcore.losses import dkd_loss; print([m for m in {HEAVY} if m in sys.modules])"
        )
        assert said == "[]"

    def test_works_without_the_library_of_shapes(self):
        said = python(
            "import sys; sys.modules['jaxtyping'] = None\n"
            "import torch; from kdcore.losses import kd_loss\n"
            "print(kd_loss(torch.zeros(2, 3), torch.zeros(2, 3)).item(), kd_loss.__annotations__['student_logits'])"
        )
        assert said == '0.0 Float[Tensor, "batch classes"]' or said.startswith("0.0 Float[Tensor, 'batch classes']")

    def test_every_name_that_is_promised_is_there(self):
        import kdcore.losses

        assert all(callable(getattr(kdcore.losses, name)) for name in kdcore.losses.__all__)
        assert kdcore.losses.__all__ == sorted(kdcore.losses.__all__)

    @pytest.mark.parametrize("word", ["timm", "transformers", "numpy"])
    def test_no_loss_names_a_library_but_torch(self, word):
        sources = [path.read_text(encoding="utf-8") for path in (ROOT / "kdcore" / "losses").rglob("*.py")]
        assert not any(f"import {word}" in source or f"from {word}" in source for source in sources)
