"""House rules that a reader would otherwise have to repeat in every review."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "hocket"
PURE = ("core", "workflows", "limits", "insight", "forecast")

FILE_LINES = 500
FUNCTION_LINES = 60
CLASS_METHODS = 20

# What is larger than the rules allow, with its exact size: the list may only shrink.
ALLOWED: dict[str, int] = {}

IMPURE_BUILTINS = {"open", "print", "id", "hash", "input", "eval", "exec", "__import__"}

# Written so that no pattern matches its own text.
PLACES = re.compile(
    r"(?<![\w./-])/(?:[w]ork|[r]oot|[h]ome/\w+|[U]sers/\w+)/"
    r"|[f]ile:///\w"
    r"|[p]ypi\.org|[p]ythonhosted\.org|[r]egistry\.npmjs|[d]eb\.debian\.org"
)


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package, by its path inside the package."""
    return {
        path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
    }


def pure_modules() -> dict[str, ast.Module]:
    return {name: tree for name, tree in modules().items() if name.split("/")[0] in PURE}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def first_party_imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.level or (node.module or "").split(".")[0] == "hocket":
                yield node
        elif isinstance(node, ast.Import) and any(
            alias.name.split(".")[0] == "hocket" for alias in node.names
        ):
            yield node


def judge(sizes: dict[str, int], limit: int, kind: str) -> None:
    """Fail on what is over the limit and not allowed, and on an allowance that no longer fits."""
    over = {f"{kind} {name}": size for name, size in sizes.items() if size > limit}
    allowed = {name: size for name, size in ALLOWED.items() if name.startswith(f"{kind} ")}
    assert {n: s for n, s in over.items() if s > allowed.get(n, limit)} == {}, "too large"
    assert {n: s for n, s in allowed.items() if over.get(n) != s} == {}, "stale in ALLOWED"


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    sizes = {name: len((SOURCE / name).read_text("utf-8").splitlines()) for name in modules()}
    judge(sizes, FILE_LINES, "file")


def test_no_function_is_longer_than_a_screen() -> None:
    sizes: dict[str, int] = {}
    for name, tree in modules().items():
        for function in functions(tree):
            length = (function.end_lineno or function.lineno) - function.lineno + 1
            key = f"{name}:{function.name}"
            sizes[key] = max(length, sizes.get(key, 0))
    judge(sizes, FUNCTION_LINES, "function")


def test_no_class_has_more_methods_than_one_thing_needs() -> None:
    sizes = {
        f"{name}:{node.name}": len(
            {
                item.name
                for item in node.body
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        )
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    judge(sizes, CLASS_METHODS, "class")


def test_every_allowance_names_a_known_kind() -> None:
    assert {name.split(" ")[0] for name in ALLOWED} <= {"file", "function", "class"}


def test_every_module_says_what_it_is_for() -> None:
    assert [name for name, tree in modules().items() if not ast.get_docstring(tree)] == []


def test_no_function_hides_an_import_of_our_own() -> None:
    found = sorted(
        {
            f"{name}:{node.lineno}"
            for name, tree in modules().items()
            for function in functions(tree)
            for node in first_party_imports(function)
        }
    )
    assert found == []


def test_no_room_imports_a_name_from_the_root() -> None:
    rooms = {path.stem for path in SOURCE.iterdir()}
    found = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for node in first_party_imports(tree)
        if (isinstance(node, ast.Import) and any(alias.name == "hocket" for alias in node.names))
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "hocket"
            and not {alias.name for alias in node.names} <= rooms
        )
    ]
    assert found == []


def test_no_pure_room_hides_an_import_from_the_running_program() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, tree in pure_modules().items()
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for node in first_party_imports(branch)
    ]
    assert found == []


def bound_names(tree: ast.AST) -> set[str]:
    """Names that a module gives a meaning of its own: an `id` argument is no builtin."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def impure_builtins(tree: ast.AST) -> Iterator[ast.Name]:
    bound = bound_names(tree)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in IMPURE_BUILTINS:
            used = isinstance(node.ctx, ast.Load) and node.id not in bound
            if used or id(node) in called:
                yield node


def test_no_pure_room_reaches_outside_through_a_builtin() -> None:
    found = sorted(
        {
            f"{name}:{node.lineno} {node.id}"
            for name, tree in pure_modules().items()
            for node in impure_builtins(tree)
        }
    )
    assert found == []


def is_set(node: ast.expr) -> bool:
    """Whether an expression is a set at sight, also when wrapped without being sorted."""
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in {"set", "frozenset"}:
            return True
        if node.func.id in {"list", "tuple", "iter", "enumerate"} and node.args:
            return is_set(node.args[0])
    return False


def set_iterations(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.For | ast.comprehension) and is_set(node.iter):
            yield node.iter


def test_no_pure_room_iterates_over_a_set_because_its_order_changes_with_the_process() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, tree in pure_modules().items()
        for node in set_iterations(tree)
    ]
    assert found == []


def test_nothing_is_left_to_be_done_later() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    found = [
        f"{name}:{number}"
        for name in modules()
        for number, line in enumerate((SOURCE / name).read_text("utf-8").splitlines(), 1)
        if marks.search(line)
    ]
    assert found == []


def is_broad(kind: ast.expr | None) -> bool:
    if isinstance(kind, ast.Tuple):
        return any(is_broad(item) for item in kind.elts)
    return kind is None or (
        isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"}
    )


def does_nothing(body: list[ast.stmt]) -> bool:
    return all(
        isinstance(item, ast.Pass)
        or (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))
        for item in body
    )


def swallows(node: ast.AST) -> bool:
    if isinstance(node, ast.ExceptHandler):
        return is_broad(node.type) and does_nothing(node.body)
    return (
        isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"suppress", "contextlib.suppress"}
        and any(is_broad(item) for item in node.args)
    )


def swallowed_errors(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if swallows(node):
            yield node.lineno


def test_no_error_is_swallowed_unseen() -> None:
    found = [
        f"{name}:{line}" for name, tree in modules().items() for line in swallowed_errors(tree)
    ]
    assert found == []


def test_no_tracked_file_names_a_place_on_somebodys_machine_or_a_registry() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    found: list[str] = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", "ignore")
        found += [f"{name}: {match.group()}" for match in PLACES.finditer(text) if "\0" not in text]
    assert found == []


@pytest.mark.parametrize(
    ("rule", "breaks", "keeps"),
    [
        (impure_builtins, "key = sorted(x, key=hash)", "def f(id: int) -> int:\n    return id"),
        (set_iterations, "for x in list({1, 2}): ...", "for x in sorted({1, 2}): ..."),
        (set_iterations, "y = [x for x in set(z)]", "y = [x for x in z]"),
        (swallowed_errors, "try: f()\nexcept Exception: pass", "try: f()\nexcept KeyError: pass"),
        (swallowed_errors, "with suppress(Exception): f()", "with suppress(OSError): f()"),
        (first_party_imports, "from hocket.core import ids", "import hocketlike"),
    ],
)
def test_each_rule_sees_what_breaks_it_and_only_that(rule, breaks: str, keeps: str) -> None:
    assert list(rule(ast.parse(breaks)))
    assert not list(rule(ast.parse(keeps)))


@pytest.mark.parametrize(
    ("place", "letter"),
    [("/{}ork/x", "w"), ("in /{}oot/.cache", "r"), ("https://{}ypi.org/simple", "p")],
)
def test_the_search_for_places_finds_them(place: str, letter: str) -> None:
    assert PLACES.search(place.format(letter))
