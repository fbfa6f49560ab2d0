"""A file of plans that extends the file beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hocket.config.file import read, read_text
from hocket.core.errors import SpecError

BASE = """\
version: 1
agents:
  coder: {scripted: {}}
plans:
  hello: {steps: {a: {agent: coder, prompt: hi}}}
"""


def put(folder: Path, text: str, base: str = BASE) -> Path:
    (folder / "hocket.yaml").write_text(base)
    path = folder / "more.yaml"
    path.write_text(text)
    return path


def refusal(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read(path)
    return [line.removeprefix(f"{path}:") for line in caught.value.lines]


PLAN = "plans:\n  p:\n    steps:\n      x: {agent: coder, prompt: hi}\n"


def test_it_has_plans_of_its_own_and_all_else_of_the_other(tmp_path: Path) -> None:
    loaded = read(put(tmp_path, f"version: 1\nextends: hocket.yaml\n{PLAN}"))
    assert loaded.plans() == ["p"]
    assert list(loaded.spec("p").agents) == ["coder"]


def test_mistakes_stand_where_they_were_made(tmp_path: Path) -> None:
    wrong = PLAN.replace("coder", "codr")
    assert refusal(put(tmp_path, f"version: 1\nextends: hocket.yaml\n{wrong}")) == [
        "6:18: unknown agent 'codr'; did you mean 'coder'?"
    ]


def test_mistakes_of_the_other_are_told_as_the_others(tmp_path: Path) -> None:
    path = put(tmp_path, f"version: 1\nextends: hocket.yaml\n{PLAN}", "version: 2\n")
    with pytest.raises(SpecError) as caught:
        read(path)
    assert caught.value.lines[0].startswith(f"{tmp_path / 'hocket.yaml'}:1:1: ")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("extends: ../hocket.yaml", "2:10: extends names a file in the same folder, as in "),
        ("extends: /etc/passwd", "2:10: extends names a file in the same folder"),
        ("extends: 3", "2:10: extends names a file in the same folder"),
        ("extends: hocket.yaml\nagents: {}", "3:1: agents stand in the file that this one extends"),
    ],
)
def test_it_can_reach_nothing_else(tmp_path: Path, head: str, said: str) -> None:
    (line,) = refusal(put(tmp_path, f"version: 1\n{head}\n{PLAN}"))
    assert line.startswith(said)


def test_there_is_no_chain(tmp_path: Path) -> None:
    path = put(tmp_path, f"version: 1\nextends: hocket.yaml\n{PLAN}", f"extends: x.yaml\n{BASE}")
    with pytest.raises(SpecError, match="cannot extend another one"):
        read(path)


def test_a_text_extends_what_it_is_given() -> None:
    loaded = read_text(f"version: 1\n{PLAN}", base=read_text(BASE))
    assert list(loaded.spec("p").agents) == ["coder"]
    with pytest.raises(SpecError, match="a text extends no file"):
        read_text(f"version: 1\nextends: hocket.yaml\n{PLAN}")
