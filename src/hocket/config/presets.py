"""Reads the presets that a user states, beside those that come with Hocket."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from hocket.config.basics import STRICT
from hocket.config.bounds import overlaid
from hocket.config.limit_parts import LimitPart
from hocket.config.messages import to_problem
from hocket.config.yaml import MAX_BYTES, YamlError, parse
from hocket.core.errors import Problem, SpecError, suggest
from hocket.core.specs import LimitSpec
from hocket.limits.presets import PRESETS, Preset

FILE = "limits.yaml"


class PresetPart(LimitPart):
    """A preset: a limit, and where its numbers are from."""

    source: str = ""
    as_of: str = ""
    about: str = ""


class PresetsPart(BaseModel):
    """A file of presets."""

    model_config = STRICT

    presets: Annotated[dict[str, PresetPart], Field(min_length=1)]


def known_presets(path: FilePath) -> Mapping[str, Preset]:
    """Give the presets that come with Hocket, and over them those of a file if it is there.

    A preset of a known name overrides what it says, and keeps the rest.

    Raises:
        SpecError: The file cannot be read or has mistakes; its lines say where.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return PRESETS
    except OSError as error:
        said = f"cannot be read: {error.strerror or error}"
        raise SpecError([Problem(where=(), message=said)], [f"{path}: {said}"]) from None
    return {**PRESETS, **_read(data, str(path))}


def _read(data: bytes, source: str) -> dict[str, Preset]:
    try:
        document = parse(data)
    except YamlError as error:
        line = f"{source}:{error.mark.line + 1}:{error.mark.column + 1}: {error.message}"
        raise SpecError([Problem(where=(), message=error.message)], [line]) from None
    found: list[tuple[Problem, bool]] = []
    presets: dict[str, Preset] = {}
    try:
        for name, about in PresetsPart.model_validate(document.tree).presets.items():
            base = about.preset or name
            if about.preset is not None and about.preset not in PRESETS:
                where = ("presets", name, "preset")
                said = f"unknown preset {about.preset!r}"
                hint = suggest(about.preset, PRESETS)
                found.append((Problem(where=where, message=said, hint=hint), False))
            limit = PRESETS[base].limit if base in PRESETS else LimitSpec()
            presets[name] = Preset(
                limit=overlaid(limit, about),
                source=about.source or source,
                as_of=about.as_of,
                about=about.about or (PRESETS[base].about if base in PRESETS else ""),
            )
    except ValidationError as error:
        details = error.errors(include_url=False)
        found = [to_problem(detail, document.tree, PresetsPart) for detail in details]
    if found:
        raise SpecError(
            [problem for problem, _ in found],
            [
                f"{source}:{mark.line + 1}:{mark.column + 1}: {problem.message}"
                + (f"; {problem.hint}" if problem.hint else "")
                for problem, key in found
                for mark in (document.find(problem.where, key=key),)
            ],
        )
    return presets
