"""From a wrong request to at most three lines: what came, what was expected, the nearest valid name."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kdcore.entry import Refusal
from kdcore.experiments.workers import is_worker

DONE, FAILED, WRONG, STOPPED, INTERRUPTED = 0, 1, 2, 3, 130


def answered(command: Callable[[], Any]) -> int:
    """Carry out a command; the exit status, with what went wrong on stderr.

    A request that cannot be served is answered in a sentence, never with a traceback (``KDCORE_DEBUG=1`` shows it).
    """
    try:
        status = command()
    except KeyboardInterrupt:
        say("interrupted; what was recorded is kept, and unfinished runs go on with the same command")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if os.environ.get("KDCORE_DEBUG"):
            raise
        return _explained(error)
    return status if isinstance(status, int) else DONE


def _explained(error: Exception) -> int:
    if is_worker():  # the one that started it says it
        return WRONG
    if hasattr(error, "format_message"):  # the parser's own, of typer or of the click that it brings
        say(*_usage(error))
        return WRONG
    if isinstance(error, Refusal):
        say(*_lines(str(error)))
        return WRONG
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("kdcore"):
        say(f"this needs {error.name}, which is not installed here")
        return FAILED
    if _is_data_problem(error):
        say(*_lines(str(error)))
        return WRONG if isinstance(error, ValueError) else FAILED
    if type(error).__name__ in ("Abort", "Exit"):
        return getattr(error, "exit_code", FAILED)
    raise error


def _is_data_problem(error: Exception) -> bool:
    from kdcore.data.problems import DataProblem

    return isinstance(error, DataProblem)


def _usage(error: Any) -> list[str]:
    """What the parser complains of, with the nearest name of a command or option that it knows."""
    message = " ".join(error.format_message().split())
    lines = [message]
    context = getattr(error, "ctx", None)
    if context is not None:
        if "Did you mean" not in message and (near := _nearest(message, context)):
            lines.append(f"the nearest is '{near}'")
        lines.append(f"'{context.command_path} --help' shows what is expected")
    return lines[:3]


def _nearest(message: str, context: Any) -> str | None:
    quoted = message.split("'")[1::2] or message.split()[-1:]
    names = list(getattr(context.command, "commands", ()))
    names += [name for option in context.command.params for name in option.opts if name.startswith("-")]
    if any(word in names for word in quoted):
        return None
    return next((near for word in quoted for near in difflib.get_close_matches(word.strip("."), names, 1, 0.5)), None)


def _lines(text: str) -> list[str]:
    return text.strip().splitlines()[:3]


def say(*lines: str) -> None:
    """Lines on stderr."""
    print(*lines, sep="\n", file=sys.stderr, flush=True)


def columns(rows: Sequence[Sequence[object]], head: Sequence[str] = ()) -> str:
    """Rows as aligned text, numbers to the right.

    Example:
        >>> print(columns([["kd", 5], ["student", 10]], head=["row", "runs"]))
        row      runs
        kd          5
        student    10
    """
    lines: list[Sequence[object]] = [head, *rows] if head else list(rows)
    widths = [max(len(str(cell)) for cell in column) for column in zip(*lines)]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: Iterable[object], widths: Sequence[int]) -> str:
    cells = zip(line, widths)
    return "  ".join(
        f"{cell:>{w}}" if isinstance(cell, int | float) else f"{cell!s:<{w}}" for cell, w in cells
    ).rstrip()
