"""Trains the networks that several notebooks learn from, once and before them, so that none waits for another."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from kdcore.publishing.project import Source, text_of


def teachers_of(sources: Iterable[Source], profile: str) -> list[str]:
    """Experiments whose networks teach in the experiments that the notebooks name."""
    from kdcore import experiments

    code = "\n".join(text_of(cell) for source in sources for cell in source.cells if cell["cell_type"] == "code")
    named = [one for one in experiments.all() if f'"{one.key}"' in code or f"'{one.key}'" in code]
    settings = [one.settings(row, profile) for one in named if profile in one.profiles for row in one.rows]
    teachers = [one["teacher"] for one in settings if isinstance(one.get("teacher"), Mapping)]
    found = dict.fromkeys(one["experiment"] for one in teachers if "experiment" in one)
    return [key for key in found if profile in experiments.get(key).profiles]


def train(profile: str, device: str, keys: Iterable[str]) -> None:
    """Run them; what the store has is left as it is."""
    from kdcore import experiments

    for key in keys:
        experiments.run(key, profile=profile, device=device)


if __name__ == "__main__":
    try:
        train(sys.argv[1], sys.argv[2], sys.argv[3:])
    except KeyboardInterrupt:  # the command that started this one says so
        sys.exit(130)
