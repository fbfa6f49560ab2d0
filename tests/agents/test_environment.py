"""A child sees what was allowed, and options are checked by name."""

import pytest

from hocket.agents.environment import child_environment, environment_problems, read_options
from hocket.core.errors import SpecError

OWN = {
    "PATH": "/bin",
    "HOME": "/h",
    "LC_ALL": "C",
    "LANG": "C",
    "OPENAI_API_KEY": "canary",
    "LD_PRELOAD": "x",
    "WANTED": "yes",
}


def test_only_allowed_names_are_handed_on() -> None:
    made = child_environment(source=OWN)
    assert made == {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "LANG": "C"}


def test_names_can_be_passed_and_set() -> None:
    made = child_environment({"HOME": "/x", "NEW": "1"}, ["WANTED", "ABSENT"], source=OWN)
    assert made["WANTED"] == "yes"
    assert made["NEW"] == "1"
    assert made["HOME"] == "/x"
    assert "ABSENT" not in made


@pytest.mark.parametrize(
    ("env", "env_pass", "says"),
    [
        ({"A B": "1"}, [], "'A B' is no name"),
        ({"A=B": "1"}, [], "no name"),
        ({}, ["1A"], "'1A' is no name"),
        ({"A": "x\0y"}, [], "NUL"),
        ({"OPENAI_API_KEY": "canary"}, [], "looks like a secret"),
        ({"db_password": "canary"}, [], "looks like a secret"),
    ],
)
def test_a_bad_name_or_a_secret_is_a_problem(
    env: dict[str, str], env_pass: list[str], says: str
) -> None:
    (problem,) = environment_problems(("agents", "a"), env, env_pass)
    assert says in problem.message
    assert "canary" not in repr(problem)


def test_harmless_names_are_no_problem() -> None:
    env = {"TOKENIZERS_PARALLELISM": "1", "KEYMAP": "de", "MY_TOKEN": "", "path": "/x"}
    assert environment_problems((), env, ["A_KEY"]) == []


def test_every_wrong_option_is_told_with_what_may_have_been_meant() -> None:
    with pytest.raises(SpecError) as caught:
        read_options(
            ("agents", "a"),
            {"comand": 1, "keep": "x", "ok": [1]},
            {"command": str, "keep": int, "ok": list[int]},
        )
    first, second = caught.value.lines
    assert first == "agents.a.comand: unknown option 'comand'; did you mean 'command'?"
    assert second.startswith("agents.a.keep: expected `int`, got `str`")
