"""The option ``--install-completion``: the shell completes commands, options and choices."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.completion.detect import ShellDetectionError

from hocket.cli.main import app
from hocket.core.errors import Refused

Shell = Annotated[
    Literal["bash", "zsh", "fish"] | None,
    Parameter(help="For which shell; else for the one that this is called from."),
]


def install(*, shell: Shell = None) -> int:
    """Let the shell complete commands, options and choices; its own start-up file loads it."""
    try:
        path = app.install_completion(shell=shell)
    except ShellDetectionError as error:
        raise Refused("which shell is not known; say --shell bash, zsh or fish") from error
    except OSError as error:
        raise Refused(f"cannot write {error.filename}: {error.strerror or error}") from error
    print(f"wrote {path}; a new shell completes: hocket <Tab>", file=sys.stderr)
    return 0
