"""What a run leaves behind, as a reader sees it: tables, figures, and how both were made.

Records go in, nothing is typed by hand. Importing this costs little: matplotlib, pandas and SciPy are loaded when
something is drawn or computed with them.
"""

from kdcore.reporting import figures
from kdcore.reporting.editions import Edition, changelog, edition_hash, edition_of, read_editions
from kdcore.reporting.formatting import percent, plus_minus
from kdcore.reporting.glue import glue
from kdcore.reporting.provenance import caption, provenance, published_by
from kdcore.reporting.tables import Published, ResultTable, plain_table, result_table, search_table
from kdcore.reporting.verdicts import Verdict, judge, verdict_table, verdicts

__all__ = [
    "Edition",
    "Published",
    "ResultTable",
    "Verdict",
    "caption",
    "changelog",
    "edition_hash",
    "edition_of",
    "figures",
    "glue",
    "judge",
    "percent",
    "plain_table",
    "plus_minus",
    "provenance",
    "published_by",
    "read_editions",
    "result_table",
    "search_table",
    "verdict_table",
    "verdicts",
]
