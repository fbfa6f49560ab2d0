"""What a population is told: its examples as they are known without JAX, wishes by name, a step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hocket.core.errors import SpecError
from hocket.population.examples import SCENARIOS, scenario
from hocket.population.model import Model, Names
from hocket.population.ready import READY
from hocket.population.wishes import rows_of


@pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in SCENARIOS), ("sharers", {"messages": True})]
)
def test_what_agents_of_an_example_see_is_known_beforehand(
    name: str, options: dict[str, Any]
) -> None:
    assert list(READY) == list(SCENARIOS)
    (group,) = scenario(name, 4, **options).groups
    seen = READY[name](**options).seen()
    assert group.name == name
    assert (group.model.names.modalities, group.model.names.observations) == (
        tuple(seen),
        tuple(seen.values()),
    )


def doubled(modalities: tuple[str, ...] = ()) -> Model:
    """A model whose two modalities have observations of the same names."""
    seen = (("no", "yes"), ("no", "yes"))
    names = Names(modalities=modalities, observations=seen)
    tables = [np.eye(2), np.eye(2)]
    return Model.of(tables, [np.eye(2)[:, :, None]], names=names)


def test_a_name_that_is_there_twice_is_refused_with_what_to_write() -> None:
    with pytest.raises(SpecError, match=r"write smell\.yes, or the other's modality"):
        rows_of(doubled(("smell", "taste")), {"yes": 1}, ("C",))
    with pytest.raises(SpecError, match="the modalities have no names; give a list of numbers"):
        rows_of(doubled(), {"yes": 1}, ("C",))
    assert rows_of(doubled(("smell", "taste")), {"taste.yes": 1}, ("C",))[1].tolist() == [0, 1]


@pytest.mark.parametrize("wishes", [[["a", "b"], [0, 1]], [[1, [2]], [0, 1]], None, 3, "ab"])
def test_what_are_no_numbers_is_refused(wishes: Any) -> None:
    with pytest.raises(SpecError, match="no list of numbers"):
        rows_of(doubled(), wishes, ("C",))


def test_a_step_without_jax_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['jax'] = None\n"
    code += "from hocket.population.job import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        input=json.dumps({"example": "explorers"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (problem,) = json.loads((tmp_path / "answer.json").read_bytes())["problems"]
    assert "pip install 'hocket[population]'" in problem
