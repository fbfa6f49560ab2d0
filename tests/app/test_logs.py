"""Logs of other programs are found in their folders, and what is none is refused with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.insight.logs.samples import chat, document, lines, sound, span, two_agents
from tests.insight.logs.test_massgen_calls import CALLS

from hocket.app.logs import read_log
from hocket.core.errors import CallerError, LogError, NotFound, Refused

META = """
config:
  agents:
  - id: a1
    backend: {type: chatcompletion, model: flash-1}
  - id: a2
    backend: {model: pro-2}
massgen_version: 0.1.97
"""
LOG = "log_20261121_194233_831160"


def attempt(folder: Path, question: str = "why?", meta: str | None = META) -> Path:
    folder.mkdir(parents=True)
    data = json.loads(two_agents().data())
    data["session_metadata"]["user_prompt"] = question
    (folder / "coordination_events.json").write_text(json.dumps(data))
    if meta is not None:
        (folder / "execution_metadata.yaml").write_text(meta)
    return folder


@pytest.mark.parametrize("given", ["", "turn_1", "turn_1/attempt_1", "turn_1/attempt_1/FILE", ".."])
def test_a_log_is_found_from_any_of_its_folders(tmp_path: Path, given: str) -> None:
    attempt(tmp_path / LOG / "turn_1" / "attempt_1")
    path = tmp_path / LOG / given.replace("FILE", "coordination_events.json")
    trace = sound(read_log("massgen", path))
    assert trace.run == f"{LOG}/turn_1/attempt_1"
    assert trace.source == "massgen 0.1.97"
    assert {a.model for a in trace.activities} == {"flash-1", "pro-2"}


def test_an_older_log_has_its_files_in_the_turn(tmp_path: Path) -> None:
    attempt(tmp_path / LOG / "turn_1", meta=META.replace("0.1.97", "0.1.12"))
    assert read_log("massgen", tmp_path / LOG).source == "massgen 0.1.12"


def test_a_log_is_found_where_massgen_keeps_it(tmp_path: Path) -> None:
    attempt(tmp_path / ".massgen" / "massgen_logs" / LOG / "turn_1")
    assert read_log("massgen", tmp_path).name == "why?"


def test_of_several_turns_the_last_is_taken_unless_one_is_named(tmp_path: Path) -> None:
    log = tmp_path / LOG
    for turn, number in (("turn_1", 1), ("turn_2", 1), ("turn_2", 2), ("turn_10", 1)):
        attempt(log / turn / f"attempt_{number}", f"{turn}.{number}")
    last = read_log("massgen", log)
    assert last.name == "turn_10.1"
    assert last.missing[0] == (
        "There are 4 attempts (turn_1/attempt_1, turn_2/attempt_1, turn_2/attempt_2, "
        "turn_10/attempt_1); this is turn_10/attempt_1, the last."
    )
    named = {turn: read_log("massgen", log, turn=turn).name for turn in ("1", "turn_2", "2/1")}
    assert named == {"1": "turn_1.1", "turn_2": "turn_2.2", "2/1": "turn_2.1"}
    assert read_log("massgen", log / "turn_2", turn="1").name == "turn_2.1"
    assert read_log("massgen", log / "turn_2", turn="turn_2").name == "turn_2.2"
    with pytest.raises(NotFound, match=r"there is no turn '3' in .*; there are turn_1/a"):
        read_log("massgen", log, turn="3")


def test_of_several_logs_none_is_guessed(tmp_path: Path) -> None:
    attempt(tmp_path / "log_1" / "turn_1")
    attempt(tmp_path / "log_2" / "turn_1")
    with pytest.raises(Refused, match=r"there are 2 logs in .*\(log_1, log_2\)"):
        read_log("massgen", tmp_path)


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        (None, "execution_metadata.yaml is not there."),
        ("a: [1,\n", "execution_metadata.yaml:2:1 cannot be read: not YAML"),
        ("- 1\n", "execution_metadata.yaml holds no object."),
    ],
)
def test_a_log_without_its_metadata_says_so(tmp_path: Path, meta: str | None, said: str) -> None:
    trace = read_log("massgen", attempt(tmp_path / "turn_1", meta=meta))
    assert any(each.startswith(said) for each in trace.missing), trace.missing
    assert trace.source == "massgen"
    assert len(trace.activities) == 6


def test_one_agent_alone_is_read_too(tmp_path: Path) -> None:
    meta = "config: {agent: {id: a1, backend: {model: solo}}}\nmassgen_version: 0.1.97\n"
    trace = read_log("massgen", attempt(tmp_path / "turn_1", meta=meta))
    assert {a.agent: a.model for a in trace.activities} == {"a1": "solo", "a2": ""}


def test_a_record_of_calls_goes_with_massgen_only(tmp_path: Path) -> None:
    folder = attempt(tmp_path / "turn_1")
    calls = tmp_path / "calls.jsonl"
    calls.write_bytes(lines(*CALLS))
    assert len(read_log("massgen", folder, calls=calls).activities) == 7
    with pytest.raises(NotFound, match="there is no file"):
        read_log("massgen", folder, calls=tmp_path / "none")
    with pytest.raises(Refused, match="goes with MassGen's logs only"):
        read_log("otlp", calls, calls=calls)
    calls.write_text('\n{"model": "flash-1"}')
    with pytest.raises(LogError, match=r"calls\.jsonl:2:1: a call without t, the seconds"):
        read_log("massgen", folder, calls=calls)


def test_spans_are_read_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "spans.json"
    file.write_bytes(document([span("chat", 0, 1, chat(), number=1)]))
    trace = sound(read_log("otlp", file))
    assert (trace.source, trace.name, len(trace.activities)) == ("otlp", "chat", 1)
    file.write_text('[{"ph": "X", "ts": 1, "dur": 5, "name": "a"}')
    trace = sound(read_log("chrome", file))
    assert (trace.source, trace.run, len(trace.activities)) == ("chrome", "spans.json", 1)
    with pytest.raises(Refused, match="leave the turn out"):
        read_log("chrome", file, turn="1")


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@pytest.mark.parametrize("kind", ["massgen", "otlp", "chrome"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (PNG, "FILE:1:1: byte 0x89 is not UTF-8; is this a text file?"),
        (b"version: 1\nplan: x\n", "FILE:1:1: "),
        (b'{"log": {"entries": []}}', "FILE: there "),
        (b'{"a": [1, 2', "FILE:1:12: the text ends in the middle"),
    ],
)
def test_what_is_no_such_log_is_refused_with_its_place(
    tmp_path: Path, kind: Any, data: bytes, said: str
) -> None:
    file = tmp_path / "coordination_events.json"
    file.write_bytes(data)
    with pytest.raises(LogError) as caught:
        read_log(kind, file)
    assert said.replace("FILE", str(file)) in str(caught.value)
    assert isinstance(caught.value, CallerError)


def test_what_is_not_there_or_no_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file or folder"):
        read_log("otlp", tmp_path / "none")
    with pytest.raises(LogError, match="it is no file; give the file itself"):
        read_log("chrome", tmp_path)
    with pytest.raises(LogError, match="there is no coordination_events"):
        read_log("massgen", tmp_path)
    with pytest.raises(Refused, match="no logs of kind 'otpl' can be read; did you mean 'otlp'"):
        read_log("otpl", tmp_path)  # type: ignore[arg-type]
    other = tmp_path / "notes.txt"
    other.write_text("x")
    with pytest.raises(LogError, match=r"notes\.txt: this is no log of MassGen; give its folder"):
        read_log("massgen", other)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=60), kind=st.sampled_from(["massgen", "otlp", "chrome"]))
def test_any_bytes_are_refused_by_the_callers_error(tmp_path: Path, data: bytes, kind: Any) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(data)
    with pytest.raises(CallerError):
        read_log(kind, file)


_DEEP = b'[{"traceId":"a1","spanId":"b1","startTimeUnixNano":"5","name":"x","attributes":[%s]}]'
_ASKED = b'{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},'
_ASKED += b'{"key":"gen_ai.prompt","value":{"x":%s}}'


@pytest.mark.parametrize("kind", ["otlp", "chrome", "massgen"])
@pytest.mark.parametrize("depth", [200_000, *range(880, 1_000, 15)])
def test_however_deep_a_log_is_it_is_read_or_refused(tmp_path: Path, kind: Any, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    for number, data in enumerate((deep, _DEEP % (_ASKED % deep), b'{"traceEvents": ' + deep)):
        path = tmp_path / f"{number}" / "coordination_events.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        try:
            sound(read_log(kind, path))
        except LogError as error:
            assert kind == "massgen" or str(path) in str(error)


def test_lists_in_lists_without_end_are_refused_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_bytes(b"[" * 200_000)
    with pytest.raises(LogError, match=r"deep\.json:1:\d+: .*nested too deeply"):
        read_log("otlp", path)
