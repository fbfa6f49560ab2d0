"""Loads a file of plans, and reports all that is wrong with it at once, each with its place.

A part whose shape is wrong is replaced by a harmless one and the rest is still checked, so that
mending one mistake does not reveal the next.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Final, NamedTuple

import msgspec
from pydantic import ValidationError

from hocket.config.bounds import Presets, built_in
from hocket.config.messages import plain_path, to_problem
from hocket.config.models import FilePart
from hocket.config.panel_parts import PanelStep
from hocket.config.places import Path
from hocket.config.simulate import simulate_problems
from hocket.config.step_parts import NestedStep, StepPart
from hocket.config.translate import Translator
from hocket.config.yaml import MAX_BYTES, Document, YamlError, parse
from hocket.core.errors import NotFound, Problem, SpecError, suggest
from hocket.core.specs import RunSpec
from hocket.core.values import Json
from hocket.workflows.check import complete, name_problems, problems
from hocket.workflows.check_staff import staff_problems

SHOWN: Final = 200
USUAL: Final = "hocket.yaml"
_BEGIN: Final = "hocket init writes one to begin with, and folders above are not searched"
"""The most problems that are written out as lines."""
_OF_PLANS: Final = frozenset({"version", "extends", "plans", "simulate"})
"""What a file can state that extends another one."""


class Loaded(NamedTuple):
    """A file that was read and found right.

    Fields:
        file: Its parts.
        source: Its name.
        presets: Gives the presets that its limits may begin with.
        place: Where it is, for whoever tells limits of agents and plans apart.
        document: Its text, for whoever looks for the place of a mistake.
    """

    file: FilePart
    source: str
    presets: Presets = built_in
    place: str = ""
    document: Document | None = None

    def plans(self) -> list[str]:
        """Name the plans, in the order of the file."""
        return list(self.file.plans)

    def spec(self, plan: str | None = None) -> RunSpec:
        """Give the spec of a plan; without a name, of the only one that no other plan runs.

        Raises:
            NotFound: There is no such plan, or several could be meant.
        """
        name = self._choose(plan)
        made = Translator(self.file, presets=self.presets, place=self.place).run(name, self.source)
        if made is None:
            raise NotFound(f"{self.source}: plan {name!r} cannot be run")
        agents, limits = dict(sorted(made.agents.items())), dict(sorted(made.limits.items()))
        return complete(msgspec.structs.replace(made, agents=agents, limits=limits))

    def mistakes(self, plan: str, found: Sequence[Problem]) -> SpecError:
        """Give the error of what was found wrong with a plan's spec, with places in the file."""
        if self.document is None:
            return SpecError(found)
        translator = Translator(self.file, presets=self.presets, place=self.place)
        translator.run(plan, self.source)
        placed = [(translator.placed(plan, one), False) for one in found]
        return _spec_error(self.document, self.source, placed)

    def _choose(self, plan: str | None) -> str:
        known = self.plans()
        if plan is not None:
            if plan in known:
                return plan
            hint = suggest(plan, known) or f"there are {', '.join(known[:10])}"
            raise NotFound(f"{self.source}: there is no plan {plan!r}; {hint}")
        nested = {
            name
            for about in self.file.plans.values()
            for step in about.steps.values()
            for name in _runs(step)
        }
        roots = [name for name in known if name not in nested] or known
        if len(roots) > 1:
            # Those that others run may be named, too.
            every = [*roots, *(name for name in known if name not in roots)]
            raise NotFound(f"{self.source}: which plan? There are {', '.join(every[:10])}")
        return roots[0]


def _runs(step: StepPart) -> list[str]:
    """Name the plans that a step runs."""
    if isinstance(step, PanelStep):
        return [name for one in step.panel.agents.values() for name in _runs(one)]
    return [step.run] if isinstance(step, NestedStep) else []


def load(path: str | FilePath, plan: str | None = None, *, presets: Presets = built_in) -> RunSpec:
    """Read a file and give the spec of one of its plans.

    Raises:
        SpecError: The file cannot be read or has mistakes; its lines say where.
        NotFound: There is no such plan, or several could be meant.
    """
    return read(path, presets=presets).spec(plan)


def read(path: str | FilePath, *, presets: Presets = built_in) -> Loaded:
    """Read a file and check all plans in it.

    Raises:
        SpecError: The file cannot be read or has mistakes; its lines say where.
    """
    source = str(path)
    document = _parsed(_content(source), source)
    extended = _extended(document, source)
    base = None if extended is None else _base(FilePath(source).parent / extended, presets)
    return _made(document, source, presets, base)


def read_text(
    text: str,
    source: str = "<text>",
    *,
    presets: Presets = built_in,
    base: Loaded | None = None,
) -> Loaded:
    """Do as `read` does, with a file's content.

    Args:
        text: The content.
        source: What to call it where a mistake is told.
        presets: Gives the presets that its limits may begin with.
        base: The file that it extends; the text is then of plans alone.

    Raises:
        SpecError: The text has mistakes; its lines say where.
    """
    document = _parsed(text.encode("utf-8", "surrogatepass"), source)
    if base is None and _extended(document, source) is not None:
        raise _unread(source, "a text extends no file: write it into a file beside that one")
    return _made(document, source, presets, base)


def _content(source: str) -> bytes:
    try:
        with open(source, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise _unread(source, "this is a folder, not a file") from None
    except FileNotFoundError:
        # Only who named no file, or this one, may want to begin.
        hint = f" here; {_BEGIN}" if source == USUAL else ""
        raise _unread(source, f"there is no such file{hint}") from None
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _unread(source, f"cannot be read: {said}") from None


def _unread(source: str, message: str) -> SpecError:
    return SpecError([Problem(where=(), message=message)], [f"{source}: {message}"])


def _parsed(data: bytes, source: str) -> Document:
    try:
        return parse(data)
    except YamlError as error:
        problem = Problem(where=(), message=error.message, hint=error.hint)
        raise SpecError([problem], [_line(source, error.mark, problem)]) from None


def _extended(document: Document, source: str) -> str | None:
    """Give the name of the file that a document extends; None if it extends none.

    Raises:
        SpecError: It is not the plain name of a file in the same folder.
    """
    tree = document.tree
    if not isinstance(tree, dict) or "extends" not in tree:
        return None
    name = tree["extends"]
    if isinstance(name, str) and name and FilePath(name).name == name:
        return name
    message = "extends names a file in the same folder, as in extends: hocket.yaml"
    problem = Problem(where=("extends",), message=message)
    raise _spec_error(document, source, [(problem, False)])


def _base(path: FilePath, presets: Presets) -> Loaded:
    """Read a file that another one extends.

    Raises:
        SpecError: It cannot be read, has mistakes, or extends a third one.
    """
    source = str(path)
    document = _parsed(_content(source), source)
    if _extended(document, source) is not None:
        raise _unread(source, "a file that is extended cannot extend another one")
    return _made(document, source, presets, None)


def _made(document: Document, source: str, presets: Presets, base: Loaded | None) -> Loaded:
    found: list[tuple[Problem, bool]] = []
    if base is not None:
        document = _joined(document, base, source)
    file, broken = _shape(document.tree, found)
    if file is not None:
        found.extend((problem, False) for problem in _check(file, broken, presets))
    if found:
        raise _spec_error(document, source, found)
    assert file is not None
    return Loaded(file, source, presets, document=document)


def _joined(document: Document, base: Loaded, source: str) -> Document:
    """Give a document of plans with all else that the file has which it extends.

    Raises:
        SpecError: It states what only that file can.
    """
    tree = document.tree
    if not isinstance(tree, dict) or base.document is None:
        return document
    if found := [
        Problem(where=(key,), message=f"{key} stand in the file that this one extends")
        for key in tree
        if key not in _OF_PLANS
    ]:
        raise _spec_error(document, source, [(problem, True) for problem in found])
    theirs = {key: part for key, part in base.document.tree.items() if key not in _OF_PLANS}
    return document.with_tree({**theirs, **tree})


def _shape(tree: Json, found: list[tuple[Problem, bool]]) -> tuple[FilePart | None, list[Path]]:
    """Validate the shape; what is wrong is replaced, and its path given."""
    if not isinstance(tree, dict):
        found.append((Problem(where=(), message="a file is an object of keys and values"), False))
        return None, []
    try:
        return FilePart.model_validate(tree), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    found.extend(to_problem(detail, tree) for detail in details)
    broken = [plain_path(detail["loc"]) for detail in details]
    mended = copy.deepcopy(tree)
    for path in broken:
        _mend(mended, path)
    try:
        return FilePart.model_validate(mended), broken
    except ValidationError:
        return None, broken


def _mend(tree: Json, path: Path) -> None:
    """Put something harmless in place of a part whose shape is wrong."""
    match path:
        case ("plans", str(plan), "steps", str(step), *_):
            tree["plans"][plan]["steps"][step] = {"approve": "-"}
        case ("plans", str(plan), "steps"):
            tree["plans"][plan]["steps"] = {"x": {"approve": "-"}}
        case ("plans", str(plan), "inputs", str(name), *_):
            tree["plans"][plan]["inputs"][name] = {}
        case ("plans", str(plan), str(key), *_):
            tree["plans"][plan].pop(key, None)
        case ("plans", str(plan)):
            tree["plans"][plan] = {"steps": {"x": {"approve": "-"}}}
        case ("agents" | "tools" as key, str(name), *_):
            tree[key][name] = {"command": ["-"]}
        case ("models", str(name), *_):
            tree["models"][name] = {"id": "-:-"}
        case ("limits", str(name), *_):
            # Large enough for whatever a step uses of it.
            tree["limits"][name] = {"concurrency": 1 << 40}
        case ("simulate", "agents", str(name), *_):
            tree["simulate"]["agents"][name] = {}
        case ("simulate", str(key), *_):
            tree["simulate"].pop(key, None)
        case ("version",):
            tree["version"] = 1
        case (str(key), *_):
            tree.pop(key, None)
        case _:
            pass


def _check(file: FilePart, broken: list[Path], presets: Presets) -> list[Problem]:
    """Check what the models cannot: names, references, and whether plans make sense."""
    agents = frozenset(str(path[1]) for path in broken if path[:1] == ("agents",) and path[1:])
    translator = Translator(file, agents, presets)
    translator.declare_all()
    specs = {name: translator.run(name, "") for name in file.plans}
    found = translator.problems
    for where, what, names in (
        ("agents", "an agent's name", [*file.agents]),
        ("plans", "a plan's name", [*file.plans]),
        ("limits", "a limit's name", [*file.limits]),
    ):
        for name in names:
            found.extend(name_problems(name, what, (where, name)))
    found.extend(simulate_problems(file.simulate, translator.agents))
    first = next(iter(file.plans))
    wrong = staff_problems(translator.agents, translator.tools)
    found.extend(translator.placed(first, one) for one in wrong)
    for name, spec in specs.items():
        if spec is not None:
            of_plan = problems(spec, whole=False)
            for step, plan in translator.panels(name):
                within = msgspec.structs.replace(spec, workflow=plan)
                of_plan += [
                    msgspec.structs.replace(one, where=("steps", step, "plan", *one.where))
                    for one in problems(within, whole=False)
                ]
            found.extend(translator.placed(name, one) for one in of_plan)
    return _without_followers(found, broken)


def _without_followers(found: list[Problem], broken: list[Path]) -> list[Problem]:
    """Drop problems that may only follow from those of shape, which are reported already."""
    steps = {path[:4] for path in broken if path[2:3] == ("steps",)}
    followers = [
        said
        for key, said in (
            ("agents", "unknown agent"),
            ("models", "unknown model"),
            ("tools", "unknown tool"),
            ("limits", "unknown limit"),
        )
        if (key,) in broken
    ]
    if any(path[2:3] == ("inputs",) for path in broken):
        followers.append("unknown input")
    return [
        problem
        for problem in found
        if problem.where[:4] not in steps and not problem.message.startswith(tuple(followers))
    ]


def _spec_error(document: Document, source: str, found: list[tuple[Problem, bool]]) -> SpecError:
    placed = sorted(
        (
            (document.find(problem.where, key=key, offset=problem.offset), problem)
            for problem, key in found
        ),
        key=lambda pair: (pair[0], pair[1].message),
    )
    lines = list(dict.fromkeys(_line(source, mark, problem) for mark, problem in placed))
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"{source}: and {len(lines) - SHOWN:,} more"]
    return SpecError([problem for _, problem in placed], lines)


def _line(source: str, mark: tuple[int, int], problem: Problem) -> str:
    hint = f"; {problem.hint}" if problem.hint else ""
    return f"{source}:{mark[0] + 1}:{mark[1] + 1}: {problem.message}{hint}"
