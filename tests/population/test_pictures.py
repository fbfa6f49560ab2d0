"""Pictures of a world: what is on them, and that they can be read anywhere."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from tests.population.settlers import GROUPS, WORLD, settled
from tests.population.test_running import MAZE, walker

from hocket.core.errors import Refused
from hocket.population.group import Group
from hocket.population.pictures import (
    AGENTS,
    PAPER,
    WALL,
    draw,
    draw_gif,
    draw_png,
    draw_svg,
    need_plots,
)
from hocket.population.population import Population
from hocket.population.scenes import Film, Scene, need_map, packed, scene_of, unpacked
from hocket.population.worlds.sampled import SampledWorld

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def scene() -> Scene:
    population = settled()
    population.run(3)
    return scene_of(population, "A & B")


def test_a_scene_is_what_there_is(scene: Scene) -> None:
    assert (scene.tick, scene.agents) == (3, 40)
    assert scene.standing.shape == (4, 5) and scene.standing.sum() == 40
    assert scene.standing[1, 2] == 0, "nobody stands in a wall"
    assert scene.belief is not None and scene.belief.sum() == pytest.approx(1, abs=1e-5)
    assert not scene.shut.any()


def test_goals_that_are_shut_are_told_apart() -> None:
    hidden = replace(WORLD, hidden=True, again=False)
    population = Population([replace(GROUPS[0])], hidden, seed=2)
    scene = scene_of(population, "x")
    assert scene.shut.sum() == 1 and (scene.kinds[scene.shut] == 1).all()
    assert "goal that is shut" in draw_svg(scene)


def test_svg_shows_the_cells_with_a_legend(scene: Scene) -> None:
    text = draw_svg(scene)
    root = ElementTree.fromstring(text)
    words = [node.text for node in root.iter(f"{SVG}text")]
    assert "A & B" in words and "40 agents on 4 × 5 cells, after tick 3" in words
    assert {"wall", "goal", "hazard", "resource"} <= set(words)
    assert {"Where agents are", "Where they believe to be, on average"} <= set(words)
    first = next(root.iter(f"{SVG}rect"))
    assert first.get("fill") == PAPER and first.get("width") == "100%"
    fills = [node.get("fill") for node in root.iter(f"{SVG}rect")]
    assert fills.count(WALL) == 3, "the wall on both maps, and in the legend"
    most = int(scene.standing.max())
    darkest = int((scene.standing == most).sum())
    assert fills.count(AGENTS[-1]) >= 1 + min(darkest, 1)
    assert (f"{most} agents" if most > 1 else "1 agent") in words


def test_png_and_gif_can_be_opened(scene: Scene) -> None:
    png = Image.open(io.BytesIO(draw_png(scene)))
    assert png.format == "PNG" and png.getpixel((0, 0))[:3] == (255, 255, 255)  # type: ignore[index]
    later = replace(scene, tick=4, standing=np.roll(scene.standing, 1))
    gif = Image.open(io.BytesIO(draw_gif([scene, later])))
    assert gif.format == "GIF" and gif.n_frames == 2  # type: ignore[attr-defined]
    assert draw("svg", [scene, later]).decode() == draw_svg(later)
    with pytest.raises(Refused, match="no scene"):
        draw("gif", [])


def test_a_film_shows_ticks_that_are_chosen_beforehand() -> None:
    assert [Film("x", 0, 10, most=6).until(tick) for tick in (0, 1, 2, 9)] == [2, 1, 2, 1]
    assert Film("x", 5, 5).until(5) > 10**9, "nothing is left to be seen"
    population = settled()
    film = Film("x", 0, 3, most=3)
    for _ in range(4):
        film.look(population)
        film.look(population)
        population.run(1)
    assert [one.tick for one in film.scenes] == [0, 2, 3], "each once"


def test_a_film_that_goes_on_for_longer_stays_even(scene: Scene) -> None:
    before = [replace(scene, tick=tick) for tick in range(0, 61)]
    film = Film("x", 0, 120, before)
    ticks = [one.tick for one in film.scenes]
    assert len(ticks) == 30 and set(np.diff(ticks)) <= {2, 3}
    assert film.until(60) <= 3


def test_scenes_come_back_as_they_were(scene: Scene) -> None:
    scenes = [scene, replace(scene, tick=7, agents=0, belief=None)]
    again = unpacked(packed(scenes), "A & B")
    for one, two in zip(scenes, again, strict=True):
        assert draw_svg(one) == draw_svg(two)
    assert again[1].belief is None and unpacked(packed([]), "x") == []


def test_what_has_no_map_is_not_drawn() -> None:
    need_map(WORLD)
    world = SampledWorld(walker(MAZE))
    with pytest.raises(Refused, match=r"this world \(SampledWorld\) has no map"):
        need_map(world)
    population = Population([Group(name="a", model=world.model, agents=1)], world)
    with pytest.raises(Refused, match="has no map"):
        scene_of(population, "x")


def test_without_matplotlib_svg_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    need_plots("svg")
    with pytest.raises(Refused, match=r"hocket\[plots\].*SVG"):
        need_plots("gif")
