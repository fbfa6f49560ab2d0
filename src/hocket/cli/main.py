"""The ``hocket`` command: finds the command's module, and turns errors into exit statuses.

A command's module is imported when the command is used, so that help costs little.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any, Final, TextIO

from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError

from hocket._version import __version__
from hocket.cli.address import meant, missing, split
from hocket.core.errors import CallerError, EngineBug, HocketError, NotFound, SpecError

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_WAITS: Final = 3
EXIT_BUDGET: Final = 4
EXIT_UNREACHABLE: Final = 5
EXIT_BUG: Final = 70
EXIT_TIMEOUT: Final = 124
EXIT_INTERRUPTED: Final = 130

STATUSES: Final[dict[int, str]] = {
    0: "success",
    EXIT_FAILED: "the run failed or was cancelled; a review or a check said no",
    EXIT_USAGE: "a mistake in the command, in the file, or in what was asked of a run",
    EXIT_WAITS: "the run is paused, and can be resumed",
    EXIT_BUDGET: "the run is paused because its budget does not hold the next call",
    EXIT_UNREACHABLE: "the journal, a cluster, a process or a download cannot be reached",
    EXIT_BUG: "a bug in Hocket",
    EXIT_TIMEOUT: "a timeout ended the run: the plan's, or that of a step that stops it",
    EXIT_INTERRUPTED: "Ctrl-C",
}
"""What each exit status means: the help and the reference say it with these words."""

ELSEWHERE: Final = "Exit statuses, --journal and the environment: hocket --help"

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "init": ("hocket.cli.files:init", "Write a hocket.yaml to begin with."),
    "check": ("hocket.cli.files:check", "Find every mistake in a file, without running it."),
    "run": ("hocket.cli.start:run", "Run a plan."),
    "ask": ("hocket.cli.teams:ask", "Ask several agents; they vote, and one answer stands."),
    "panel": ("hocket.cli.teams:panel", "Ask specialists; one agent makes a reply of it."),
    "review": (
        "hocket.cli.teams:review",
        "Let reviewers judge a file or a change; exit status 0 if approved, 1 if not.",
    ),
    "plan": ("hocket.cli.plan:plan", "Have an agent draft a plan; check, edit and run it."),
    "resume": ("hocket.cli.start:resume", "Take up a run that was paused or whose process died."),
    "fork": ("hocket.cli.fork:fork", "Run on from a point of another run, with other inputs."),
    "serve": ("hocket.cli.serve:serve_", "Serve the live page and the API of this state folder."),
    "work": ("hocket.cli.work:work_", "Drive runs that servers have begun."),
    "runs": ("hocket.cli.look:runs", "List runs, newest first."),
    "show": ("hocket.cli.look:show", "Show a run, or one step's output."),
    "logs": ("hocket.cli.look:logs", "Show what happened, or what a step has said."),
    "explain": ("hocket.cli.explain:explain_", "Say why a run was slow, and what would change it."),
    "simulate": (
        "hocket.cli.simulate:simulate",
        "Say what a run would take with other limits, policies, models.",
    ),
    "population": (
        "hocket.cli.population:app",
        "Run, check and measure populations of active-inference agents.",
    ),
    "mcp": ("hocket.cli.mcp:mcp", "Let an MCP client plan, run, approve and explain."),
    "pause": ("hocket.cli.requests:pause", "Let calls in flight finish, then stop; resumable."),
    "cancel": (
        "hocket.cli.requests:cancel",
        "End a run; calls in flight are asked to end first.",
    ),
    "approve": ("hocket.cli.requests:approve", "Approve or reject what a step shows."),
    "send": ("hocket.cli.requests:send", "Give a waiting step its input."),
    "retry": ("hocket.cli.start:retry", "Do a failed or held step again."),
    "stats": ("hocket.cli.stats:stats_", "Sum up how well runs go, with targets beside."),
    "limits": ("hocket.cli.limits:limits", "List limits, and how much of them is used."),
    "prune": ("hocket.cli.care:prune", "Delete old runs."),
    "journal": (
        "hocket.cli.journal:app",
        "Copy, move, archive and check journals, in state folders and in PostgreSQL.",
    ),
    "doctor": ("hocket.cli.care:doctor", "Say whether all that runs need is here."),
    "import": ("hocket.cli.imports:import_", "Make a hocket.yaml of a MassGen file."),
    "schema": ("hocket.cli.files:schema", "Print the JSON Schema of hocket.yaml."),
}

app = App(
    name="hocket",
    help="Run teams of agents as plans: fast, crash-safe, and watched live.",
    version=__version__,
    help_epilogue=(
        "Exit status:\n"
        + "".join(f"  {status:<4}{meaning}\n" for status, meaning in STATUSES.items())
        + "\nEvery command takes --journal: postgresql://user@host/database, the path of a state "
        "folder, or @FILE with one of them; as the variable HOCKET_JOURNAL.\n"
        "Environment: HOCKET_HOME the state folder, NO_COLOR no colours, HOCKET_LEASE the seconds "
        "after which the run of a process that gives no sign of life may be taken over (15), "
        "HOCKET_OTEL the OTLP endpoint that spans are sent to."
    ),
    default_parameter=Parameter(negative=(), show_default=False),
    help_format="plaintext",  # Markdown takes as long to come as all the rest of the help
    suppress_keyboard_interrupt=False,
)
for _place, (_name, (_where, _help)) in enumerate(COMMANDS.items()):
    # A group is an app of its own, and says this itself.
    _told = {} if _where.endswith(":app") else {"help_epilogue": ELSEWHERE}
    app.command(_where, name=_name, help=_help, sort_key=_place, **_told)
app.command(
    "hocket.cli.completion:install",
    name="--install-completion",
    help="Let the shell complete commands, options and choices.",
    sort_key=len(COMMANDS),
    help_epilogue=ELSEWHERE,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit status."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    try:
        status = _run(tokens)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain about it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _run(tokens: list[str]) -> int:
    if tokens == ["--version"]:
        print(__version__)
        return 0
    try:
        tokens, journal = split(tokens)
        with meant(journal):
            result = _call(tokens)
    except CycloptsError as error:
        return _said(str(error).strip(), EXIT_USAGE, _usage(tokens))
    except SpecError as error:
        count = len(error.lines)
        return _said("\n".join(error.lines), EXIT_USAGE, f"{count} mistakes" if count > 1 else "")
    except CallerError as error:
        return _said(str(error), EXIT_USAGE)
    except EngineBug as error:
        return _said(str(error), EXIT_BUG)
    except HocketError as error:
        return _said(str(error), EXIT_UNREACHABLE)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception:
        traceback.print_exc()
        more = "What is on disk is safe: hocket runs lists what can be resumed."
        return _said(
            "this is a bug in Hocket; please report it with the lines above", EXIT_BUG, more
        )
    return result if isinstance(result, int) else 0


def _call(tokens: list[str]) -> Any:
    """Do a command; a run that is not found may be in a journal that was not meant.

    Raises:
        HocketError: Whatever it raises.
    """
    try:
        return app(tokens, result_action="return_value", exit_on_error=False, print_error=False)
    except NotFound as error:
        if str(error).startswith("there is no run ") and (told := missing()):
            raise NotFound(f"{error}\n{told}") from error
        raise


def _open_streams() -> None:
    """Stand in for closed streams, and let no character stop us that a terminal cannot show."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            # It takes the stream's number, which the next file would get and be written over.
            null = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(null, "w" if number else "r"))
        elif number and isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _said(message: str, status: int, more: str = "") -> int:
    print(f"hocket: {message}" if status != EXIT_USAGE else message, file=sys.stderr)
    if more:
        print(more, file=sys.stderr)
    return status


def _usage(tokens: Sequence[str]) -> str:
    command = tokens[0] if tokens and tokens[0] in COMMANDS else ""
    return f"Try: hocket {command} --help".replace("  ", " ")


def entry() -> None:
    """Run the command line and exit with its status."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
