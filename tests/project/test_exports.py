"""The root of the package is a promise: what it exports is counted, sorted and explained."""

import inspect
import types

import hocket


def exported() -> dict[str, object]:
    return {name: getattr(hocket, name) for name in hocket.__all__}


def explains_itself(value: object, name: str) -> bool:
    """A dataclass gets a docstring that only repeats its signature; that explains nothing."""
    doc = value.__doc__ or ""
    return bool(doc.strip()) and not doc.startswith(f"{name}(")


def test_the_list_of_public_names_is_sorted_and_has_no_doubles() -> None:
    assert list(hocket.__all__) == sorted(set(hocket.__all__))


def test_every_public_name_is_in_the_list() -> None:
    values = exported() | vars(hocket)
    public = {
        name
        for name, value in values.items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public | {"__version__"} == set(hocket.__all__)


def test_every_public_class_and_function_has_a_docstring() -> None:
    silent = [
        name
        for name, value in exported().items()
        if (inspect.isclass(value) or inspect.isroutine(value)) and not explains_itself(value, name)
    ]
    assert silent == []


def test_the_root_has_few_enough_names_to_learn() -> None:
    assert len(hocket.__all__) <= 50
