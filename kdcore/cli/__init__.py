"""The command line. Results go to stdout, everything else to stderr.

Exit status: 0 done, 1 something failed while running, 2 the request was wrong, 3 stopped by ``--budget``.
Nothing here loads torch before a command needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kdcore.cli.answers import answered
from kdcore.cli.commands import app


def main(arguments: Sequence[str] | None = None) -> None:
    """Answer one command line and exit with its status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(answered(lambda: app(args=words or ["--help"], prog_name="kdcore", standalone_mode=False)))
