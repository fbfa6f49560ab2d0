"""The command ``import``: makes a file of ours of another program's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from cyclopts import Parameter

from hocket.cli.output import pretty
from hocket.config.file import read_text
from hocket.config.massgen import Imported, translate
from hocket.config.yaml import MAX_BYTES, YamlError, parse
from hocket.core.errors import Refused
from hocket.core.values import Json

_WIDTH = 96


def import_(
    what: Literal["massgen"],
    file: Path,
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="The file to write; else it is printed."),
    ] = None,
    force: Annotated[bool, Parameter(help="Write over what is there.", negative=())] = False,
    json_: Annotated[
        bool, Parameter(name="--json", help="What has no counterpart, as JSON.", negative=())
    ] = False,
) -> int:
    """Make a hocket.yaml of another program's configuration, and list what has no counterpart.

    Of MassGen's files it takes agents, models, keys' variables, limits, system texts, time limits
    and the rules by which it comes to an answer.

    Args:
        what: Whose file it is: massgen.
        file: The file, YAML or JSON.
    """
    imported = translate(_read(file))
    text = _write(imported, file)
    # What we write ourselves is held to what we read.
    read_text(text, str(output or "what was made of it"))
    if output is not None:
        if output.exists() and not force:
            raise Refused(f"{output} is there already; --force writes over it")
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Refused(f"cannot write {output}: {error.strerror or error}") from error
        print(f"wrote {output}", file=sys.stderr)
    if json_:
        print(pretty([note._asdict() for note in imported.notes]))
        return 0
    if output is None:
        print(text, end="")
    for note in imported.notes:
        print(f"{note.where}: {note.why}", file=sys.stderr)
    return 0


def _read(file: Path) -> Json:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror or error}") from error
    try:
        return json.loads(data) if file.suffix == ".json" else parse(data).tree
    except YamlError as error:
        mark = error.mark
        raise Refused(f"{file}:{mark.line + 1}:{mark.column + 1}: {error.message}") from error
    except (ValueError, RecursionError) as error:
        raise Refused(f"{file} is no JSON: {error}") from error


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # What begins like a number may be read as one.
    style = "|" if "\n" in text else '"' if text[:1] in "0123456789+-." else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _write(imported: Imported, file: Path) -> str:
    head = [f"# Made of {file.name} by: hocket import massgen"]
    if imported.notes:
        head.append("# What of it has no counterpart here:")
        head += [f"# - {note.where}: {note.why}" for note in imported.notes]
    body = yaml.dump(
        imported.tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH
    )
    # A name or a line of theirs must not end a comment of ours.
    return "\n".join(" ".join(line.split()) for line in head) + "\n" + body
