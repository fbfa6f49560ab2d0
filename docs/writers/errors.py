"""Writes `reference/errors.md`: the tree of errors, the kinds of fault, exit statuses."""

from __future__ import annotations

import inspect
import re
import typing

from hocket.core import errors, specs
from writers.docstrings import NOTE, fields, markdown, section, summary, table


def errors_page() -> str:
    """Write the tree of errors, the kinds of fault, and the exit statuses."""
    doc = inspect.cleandoc(errors.__doc__ or "")
    tree = inspect.cleandoc(doc.split("\n\n")[1])
    lines = [
        "# Errors",
        "",
        NOTE,
        "",
        "Every error that Hocket raises on purpose is in one tree; a message says what happened,",
        "where, and what to do.",
        "",
        "```text",
        tree,
        "```",
        "",
    ]
    rows = []
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.HocketError):
            about = (
                summary(value)
                + " "
                + " ".join(f"`{key}`: {text}" for key, text in section(value, "Attributes").items())
            )
            rows.append([f"`{name}`", _status(value), about])
    lines += [
        "## Classes",
        "",
        "The status is that of the `hocket` command which meets the error.",
        "",
        *table(["Class", "Exit status", "Meaning"], rows),
        "`RunFailed` is raised in Python only; the command line prints how the run ended, and its",
        "[exit status](cli.md) says it too.",
        "",
        "## Faults",
        "",
        "Why a call failed; it stands in the journal, and a step's `retry.on` names them.",
        "",
    ]
    source = inspect.getsource(errors)
    said = re.search(
        r'FaultKind: TypeAlias.*?"""Why a call failed\.\n\n(.*?)"""', source, re.DOTALL
    )
    assert said is not None
    kinds = [line.split(": ", 1) for line in markdown(said[1]).splitlines()]
    assert [kind for kind, _ in kinds] == list(typing.get_args(errors.FaultKind))
    retried = [[f"`{k}`", "yes" if k in specs.RETRIED else "never", text] for k, text in kinds]
    lines += [*table(["Fault", "Retried if there are tries", "Meaning"], retried)]
    lines += ["A fault has these parts:", "", *fields(errors.Fault)]
    return "\n".join(lines).rstrip() + "\n"


def _status(kind: type[errors.HocketError]) -> str:
    if kind is errors.RunFailed:
        return "1"
    if kind is errors.EngineBug:
        return "70"
    return "2" if issubclass(kind, errors.CallerError) else "5"
