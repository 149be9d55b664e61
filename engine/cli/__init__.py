"""The command line: `llmkit COMMAND`.

Exit codes: 0 done, 1 findings or a failed call, 2 wrong usage (nothing was sent), 70 a defect of this program, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Never shows a traceback: what goes wrong is said in one message on standard error."""
    from engine.cli.parser import parser
    from engine.cli.terminal import safe
    from engine.errors import Error, SpecError

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter shows its code
    top = parser()
    arguments, rest = top.parse_known_args(argv)
    if rest and hasattr(arguments, "prompt") and not any(word.startswith("-") for word in rest):
        arguments.prompt += rest  # words of the prompt behind an option
    elif rest:
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        code = int(arguments.run(arguments) or 0)
        sys.stdout.flush()  # a reader that went away is noticed here, not when the interpreter ends
        return code
    except SpecError as error:
        for problem in error.problems or [error.message]:
            print(safe(str(problem)), file=sys.stderr)
        return 1
    except Error as error:
        print(safe(f"llmkit: {error.kind}: {error}"), file=sys.stderr)
        return 2 if error.kind in ("config", "unsupported", "not_found") and error.status is None else 1
    except KeyboardInterrupt:
        print("llmkit: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away: not our failure
        return 0
    except OSError as error:
        name = f" {error.filename}" if error.filename else ""
        print(f"llmkit:{name}: {error.strerror or error}", file=sys.stderr)
        return 2
    except Exception as error:  # a defect; said in one line, with its place for the report
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        place = f"{os.path.basename(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}" if frame is not None else "?"
        print(safe(f"llmkit: defect: {type(error).__name__}: {error} ({place}); please report it"), file=sys.stderr)
        return 70
