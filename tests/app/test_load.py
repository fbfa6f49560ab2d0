"""Plans from files: what only an agent's kind knows to be wrong is found before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hocket.app.load import load_plan
from hocket.core.errors import SpecError

KINDS = "failed, timeout, unavailable, rate_limited, invalid_output, permanent, lost, over_budget"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "{replies: [hi, {error: {kind: transient}}]}",
            f"3:49: invalid enum value 'transient'; the kinds are {KINDS}",
        ),
        ("{reply: [hi]}", "3:27: unknown option 'reply'; did you mean 'replies'?"),
        (
            "{replies: [{after: 3 foos}]}",
            "3:30: '3 foos' is not a duration; write it like '90s', '10m' or '1h30m'",
        ),
        ('{by: {"b": [{word: x}]}}', "3:20: object contains unknown field `word`"),
    ],
)
def test_a_script_s_mistakes_are_told_with_their_places(
    script: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "plan.yaml"
    steps = "plans: {p: {steps: {a: {agent: one, prompt: x}}}}"
    path.write_text(f"version: 1\nagents:\n  one: {{scripted: {script}}}\n{steps}\n")
    with pytest.raises(SpecError) as raised:
        load_plan(path)
    assert list(raised.value.lines) == [f"{path}:{said}"]
