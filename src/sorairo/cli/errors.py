"""Every error as one line and an exit code: 2 for what the user can fix, 130 for Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from typer import Abort
from typer.exceptions import TyperException

from sorairo.cli.terminal import safe
from sorairo.files import FULL
from sorairo.types import UserError

__all__ = ["exit_code", "guarded"]

USER, INTERRUPTED, TERMINATED, PIPE = 2, 130, 143, 141


def guarded(command: Callable[[], object]) -> NoReturn:
    """Run `command` and end the process with its exit code. Faults of ours keep their traceback."""
    # SIGTERM becomes an exception, so that temporary files are removed then too.
    signal.signal(signal.SIGTERM, terminate)
    try:
        try:
            code = command()
            if code == INTERRUPTED:  # typer has caught it already
                said("stopped.", INTERRUPTED)
        except BaseException as error:
            known = exit_code(error)
            if known is None:
                raise
            code = known
        sys.stdout.flush()
    except BrokenPipeError as error:  # also where what exit_code prints has no reader
        code = exit_code(error)
    # Threads of the libraries may not hold the process back, and what they say about it may not be seen.
    sys.exit(code if isinstance(code, int) else 0)


def exit_code(error: BaseException) -> int | None:
    """Say `error` in one line on stderr and return the exit code; None for what is a fault of ours."""
    match error:
        case KeyboardInterrupt() | Abort():
            return said("stopped.", INTERRUPTED)
        case UserError():
            return said(str(error), USER)
        case UnicodeEncodeError() if "surrogate" in error.reason:
            return said("an argument has a byte that is not UTF-8; write it in UTF-8.", USER)
        case TyperException() if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
            print(error.format_message())
            return 0
        case TyperException():
            return said(usage(error), USER)
        case SystemExit() if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # typer has met a broken pipe
            return PIPE
        case BrokenPipeError():
            # The reader has gone (`sorairo models list | head -1`). Python flushes at exit: let it flush nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return PIPE
        case OSError() if error.errno in FULL:
            return said(f"no space is left{place(error)}; free some and try again.", USER)
        case OSError() if error.errno is not None:
            return said(f"{error.strerror or error}{place(error)}.", USER)
        case MemoryError():
            return said("there is not enough memory; choose a smaller size or fewer frames.", USER)
        case RuntimeError() if "allocate memory" in str(error):
            return said("there is not enough memory; choose a smaller size or fewer frames.", USER)
    return None


def said(sentence: str, code: int) -> int:
    print("sorairo: " + safe(" ".join(sentence.split())), file=sys.stderr, flush=True)
    return code


def usage(error: TyperException) -> str:
    """What is wrong on the command line, and which --help to read."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "sorairo"
    return f"{error.format_message().rstrip('.')}; see {command} --help."


def place(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""


def terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)
