"""Draws the table of the README from the committed records: ``python -m kdcore.publishing.picture``."""

from __future__ import annotations

from kdcore.entry import Refusal
from kdcore.publishing.pages.tables import PROFILES, SHOWN, beside, beside_rows, tables_of
from kdcore.publishing.project import Project, write_whole
from kdcore.reporting.picture import svg_table


def picture(project: Project) -> str:
    """The drawing of the table that the front page shows.

    Raises:
        Refusal: nothing that it could show has been published.
    """
    name = next((name for name in SHOWN if (project.book / "records" / f"{name}.jsonl").is_file()), "")
    if not name:
        raise Refusal(f"none of {', '.join(SHOWN)} has published records, so there is no table to draw")
    others, source = beside(SHOWN[name])
    profile, _, table, _ = next(tables_of(name, published=beside_rows(name, others)))
    return svg_table(table, source, PROFILES[profile])


def main() -> None:
    project = Project.here()
    path = project.book / "_static" / "table.svg"
    write_whole(path, picture(project))
    print(project.shown(path))


if __name__ == "__main__":
    main()
