"""The `sorairo` command, also `python -m sorairo`. It imports nothing before Ctrl-C has a handler."""

import os
import signal
from types import FrameType
from typing import NoReturn


def run() -> NoReturn:
    """Run the command line, and end the process with its exit code."""
    try:
        # A shell that ignores SIGINT for a command in the background has its reason.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupt)
        from sorairo.cli.main import run as command

        command()
    except KeyboardInterrupt:
        stop()


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """End the process at once while a module is imported; else raise KeyboardInterrupt.

    Nothing is half done in an import, and libraries that see the exception there swallow it, or abort.
    """
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            stop()
        frame = frame.f_back
    raise KeyboardInterrupt


def stop() -> NoReturn:
    os.write(2, b"sorairo: stopped.\n")
    os._exit(130)


if __name__ == "__main__":
    run()
