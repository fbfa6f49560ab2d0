"""What agents give becomes JSON that fits, or is refused by name."""

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.agents.output import DETAIL, File, fault, fit, read_json, to_json
from hocket.core.errors import AgentError
from hocket.core.values import FileRef


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


@dataclasses.dataclass
class Point:
    x: float
    more: Any = None


class Struct(msgspec.Struct, tag="struct", rename="camel"):
    is_it: bool
    unset: int | msgspec.UnsetType = msgspec.UNSET


class Row(msgspec.Struct, array_like=True):
    a: int
    b: Any


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    when: datetime.date
    more: Any = None


Pair = collections.namedtuple("Pair", "a b")

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def refused(value: Any) -> str:
    with pytest.raises(AgentError) as caught:
        to_json(value)
    assert caught.value.fault.kind == "permanent"
    return caught.value.fault.message


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": [1, 2.5, None, True, "x"]}, {"a": [1, 2.5, None, True, "x"]}),
        ((1, (2,)), [1, [2]]),
        (Colour.RED, "red"),
        ([Level.LOW, Text("t")], [1, "t"]),
        (Point(1.5, Point(2, {3})), {"x": 1.5, "more": {"x": 2, "more": [3]}}),
        (Struct(is_it=True), {"type": "struct", "isIt": True}),
        (Row(1, Colour.RED), [1, "red"]),
        (Model(when=datetime.date(2026, 1, 2)), {"when": "2026-01-02", "more": None}),
        (datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC), "2026-01-02T03:04:00Z"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("a/b"), "a/b"),
        (Pair(1, 2), [1, 2]),
        ({"b", "a"}, ["a", "b"]),
        (
            {1: "a", Colour.RED: 2, datetime.date(2026, 1, 2): 3},
            {"1": "a", "red": 2, "2026-01-02": 3},
        ),
        (collections.OrderedDict(z=1, a=2), {"z": 1, "a": 2}),
        (
            FileRef(name="n", digest="d", size=1),
            {"$": "file", "name": "n", "digest": "d", "size": 1},
        ),
        ("日本", "日本"),
    ],
)
def test_a_value_of_python_becomes_json(value: Any, written: Any) -> None:
    made = to_json(value)
    assert made == written
    assert json.loads(msgspec.json.encode(made)) == written


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (Point(float("nan")), "nan"),
        (2**64, "65 bits"),
        (-(2**63) - 1, "return it as text"),
        (b"x", "bytes; decode"),
        (object(), "type object"),
        ([{"a": 1j}], "complex"),
        ((i for i in "ab"), "generator; return a list"),
        ({(1, 2): 3}, "key of type tuple"),
        ({None: 3}, "key of type NoneType"),
        ({1: "a", "1": "b"}, "two keys"),
        ("\ud800", "surrogate"),
        ({"\ud800": 1}, "surrogate"),
        (File("x"), "File"),
        (Point, "type"),
    ],
)
def test_what_json_cannot_say_is_refused_by_name(value: Any, says: str) -> None:
    assert says in refused(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert "contains itself" in refused(loop)


@given(JSON)
def test_json_stays_what_it_is_in_containers_of_its_own(value: Any) -> None:
    made = to_json(value)
    assert made == value
    assert msgspec.json.decode(msgspec.json.encode(made)) == value
    if isinstance(value, list | dict):
        assert made is not value


def test_a_file_is_found_wherever_it_is() -> None:
    found: list[File] = []
    file = File("a/b.txt")
    when = datetime.date(2026, 1, 1)
    to_json([file, {"x": Point(1, file)}, Model(when=when, more=file)], found.append)
    assert [one.name for one in found] == ["b.txt"] * 3
    assert to_json({"f": file}, lambda one: {"$": one.name}) == {"f": {"$": "b.txt"}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("\ufeff 3 \n", 3),
        ('Sure!\n```json\n{"a": 1}\n```\nDone.', {"a": 1}),
        ("```\n1\n```\nno:\n```json\n[2]\n```", [2]),
        ("```json\n[1]\n```\n```python\nprint()\n```", [1]),
        ("  ```json\n  [1]\n  ```", [1]),
    ],
)
def test_json_is_read_also_from_a_code_block(text: str, value: Any) -> None:
    assert read_json(text) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("Hello there", "begins 'Hello there'"),
        ("[1,", "not JSON"),
        ("[NaN]", "not JSON"),
        ("1e999", "out of range"),
        (str(2**70), "71 bits"),
        ("[" * 200_000, "nested too deeply"),
        ("```json\nnope\n```", "not JSON"),
    ],
)
def test_a_text_without_json_is_invalid_output(text: str, says: str) -> None:
    with pytest.raises(AgentError) as caught:
        read_json(text)
    assert caught.value.fault.kind == "invalid_output"
    assert says in caught.value.fault.message
    assert len(caught.value.fault.detail) <= DETAIL


SCHEMA = {
    "type": "object",
    "required": ["items"],
    "properties": {
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        "kind": {"anyOf": [{"const": "a"}, {"type": "integer", "minimum": 3}]},
    },
    "$defs": {"item": {"type": "object", "properties": {"n": {"type": "integer"}}}},
}


def test_what_fits_its_schema_is_given_back() -> None:
    value = {"items": [{"n": 1}]}
    assert fit(value, SCHEMA) is value
    assert fit(value, SCHEMA) is value
    assert fit("anything", None) == "anything"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"items": [{"n": 1}, {"n": "x"}]}, "output.items[1].n: 'x' is not of type 'integer'"),
        ({}, "output: 'items' is a required property"),
        ({"items": [], "kind": 1}, "output.kind"),
        ({"items": "x" * 10_000}, "…"),
    ],
)
def test_a_mismatch_is_told_by_its_path(value: Any, says: str) -> None:
    with pytest.raises(AgentError) as caught:
        fit(value, SCHEMA)
    assert caught.value.fault.kind == "invalid_output"
    assert says in caught.value.fault.message
    assert len(caught.value.fault.message) <= 500


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "integr"}, "schema is wrong at .type"),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "refers to what is not there"),
        ({"$ref": "#/$defs/none"}, "refers to what is not there"),
    ],
)
def test_a_wrong_schema_is_permanent_and_nothing_is_fetched(schema: Any, says: str) -> None:
    with pytest.raises(AgentError) as caught:
        fit({}, schema)
    assert caught.value.fault.kind == "permanent"
    assert says in caught.value.fault.message


def test_ten_thousand_schemas_are_not_all_kept() -> None:
    from hocket.agents import output

    for number in range(1_000):
        assert fit(number, {"const": number}) == number
    assert len(output._validators) <= 256
    assert len(output._recent) <= 256


def test_a_long_detail_keeps_its_end() -> None:
    made = fault("failed", "m" * 1_000, "d" * 9_000 + "end").fault
    assert len(made.message) == 500
    assert made.detail.endswith("end") and len(made.detail) == DETAIL


def test_plain_functions_load_neither_pydantic_nor_jsonschema() -> None:
    code = (
        "import sys, hocket.agents.function, hocket.agents.command, hocket.agents.scripted\n"
        "from hocket.agents.arguments import read_signature\n"
        "def f(a: int, b: list[str] | None, *rest: str) -> dict: ...\n"
        "assert read_signature(f).plain\n"
        "bad = {'pydantic', 'jsonschema'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
