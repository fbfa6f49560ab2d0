"""Functions described as tools."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
import pytest
from jsonschema import Draft202012Validator

from hocket import Context
from hocket.agents.arguments import read_signature
from hocket.config.signatures import about, tool_schema

if TYPE_CHECKING:
    from elsewhere import Thing


class Span(pydantic.BaseModel):
    first: int
    last: int = 9


def grep(
    pattern: str,
    /,
) -> str:
    return pattern


def search(
    context: Context,
    pattern: str,
    span: Span,
    paths: list[str] | None = None,
    *,
    how: Literal["plain", "regex"] = "plain",
    root: Path = Path("src"),
    limit: Annotated[int, pydantic.Field(ge=1)] = 20,
) -> list[str]:
    """Search the sources
    for a pattern.

    More of it.

    Args:
        pattern: What to look for,
            as it is.
        paths (list): Where.
        nowhere: Is no parameter.

    Returns:
        The lines.
    """
    return [str((context, pattern, span, paths, how, root, limit))]


def test_a_signature_becomes_a_closed_object() -> None:
    schema = tool_schema(search)
    Draft202012Validator.check_schema(schema)
    assert schema["required"] == ["pattern", "span"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert list(properties) == ["pattern", "span", "paths", "how", "root", "limit"]
    assert properties["pattern"] == {
        "type": "string",
        "description": "What to look for, as it is.",
    }
    assert properties["paths"]["description"] == "Where."
    assert properties["how"]["default"] == "plain"
    assert properties["limit"]["minimum"] == 1
    assert "default" not in properties["root"], "a path has no JSON of its own"
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"pattern": "x", "span": {"first": 1}, "how": "regex"})
    assert not validator.is_valid({"pattern": "x", "span": {"first": "one"}})
    assert not validator.is_valid({"pattern": "x", "span": {"first": 1}, "context": 1})


def test_the_function_agent_takes_what_the_schema_says() -> None:
    signature = read_signature(search)
    names = list(tool_schema(search)["properties"])
    assert signature.context == "context"
    assert set(signature.names) - {"context"} <= set(names)


def test_what_it_is_for_is_the_first_paragraph() -> None:
    assert about(search) == "Search the sources for a pattern."
    assert about(lambda: None) == ""


def test_a_function_without_arguments_or_annotations() -> None:
    def bare(x, y=None):  # type: ignore[no-untyped-def]
        """Args: none that count."""

    assert tool_schema(lambda: 1) == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }
    assert tool_schema(bare)["properties"] == {"x": {}, "y": {}}


def test_partials_callables_and_unseen_names() -> None:
    class Finder:
        def __call__(self, what: int) -> int:
            return what

    def unseen(thing: Thing, context: Context, n: int) -> Any:
        return thing, context, n

    assert tool_schema(functools.partial(search, how="regex"))["properties"]["pattern"]
    assert tool_schema(Finder())["properties"] == {"what": {"type": "integer"}}
    assert tool_schema(unseen)["properties"] == {"thing": {}, "n": {"type": "integer"}}


class Handle:
    pass


def no_json(x: Handle) -> None: ...


def many(*paths: str) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [(grep, "cannot be given by name"), (many, "cannot be given by name"), (no_json, "Handle")],
)
def test_what_is_no_tool_is_refused(function: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        tool_schema(function)
