"""The small language of conditions and templates: fields, literals, comparisons, and/or/not, in.

    expr    := and ("or" and)*
    and     := not ("and" not)*
    not     := "not" not | compare
    compare := operand [("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not" "in") operand]
    operand := literal | reference | "(" expr ")" | "[" [expr ("," expr)*] "]"
    reference := NAME ("." (NAME | INT) | "[" (TEXT | INT) "]")*

It is parsed here by recursive descent and evaluated over JSON; no text ever reaches Python's own
evaluator.
There is no arithmetic, so a name may hold ``-`` as step names do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import msgspec

from hocket.core.errors import ExprError, suggest
from hocket.core.values import Json

Lookup: TypeAlias = Callable[[str], Json]
"""Gives the value of a root name; raises `ExprError` for an unknown one."""
Evaluate: TypeAlias = Callable[[Lookup], Json]

MAX_LENGTH: Final = 4_000
MAX_DEPTH: Final = 40

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w-])
      | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<name>[^\W\d][\w-]*)
      | (?P<op>==|!=|<=|>=|}}|[<>()\[\],.])
      | (?P<int>\d+)
    )""",
    re.VERBOSE,
)
_NAME_ALONE = re.compile(r"\s*([^\W\d][\w-]*)\s*}}")
"""By far the most templates read nothing but one name."""
_ESCAPE = re.compile(r"\\(.)")
_CONSTANTS: Final[dict[str, Json]] = {"true": True, "false": False, "null": None}
_WORDS: Final = frozenset({"and", "or", "not", "in"})
_ORDERED: Final = frozenset({"<", "<=", ">", ">="})


class Reference(msgspec.Struct, frozen=True):
    """A name that an expression reads, with its fields: ``plan.steps[0]``.

    Fields:
        names: The root name, then keys and indexes.
        offset: Where it stands in the text.
    """

    names: tuple[str | int, ...]
    offset: int

    @property
    def root(self) -> str:
        """The first name."""
        return str(self.names[0])

    def __str__(self) -> str:
        return ".".join(map(str, self.names))


class Expr(msgspec.Struct, frozen=True):
    """A parsed expression.

    Fields:
        text: What was parsed.
        references: Every name read, in order of appearance.
        evaluate: Computes the value from a lookup of root names; raises `ExprError`.
    """

    text: str
    references: tuple[Reference, ...]
    evaluate: Evaluate


class _Token(NamedTuple):
    kind: str
    text: str
    offset: int


def parse_expr(text: str) -> Expr:
    """Read an expression.

    Raises:
        ExprError: It does not follow the grammar, with the offending character's offset.
    """
    parser = _Parser(text, 0)
    evaluate = parser.expr(0)
    parser.expect_end("end")
    return Expr(text, tuple(parser.references), evaluate)


def parse_embedded(text: str, start: int) -> tuple[Expr, int]:
    """Read an expression that ends with ``}}``; gives it and the offset behind the braces.

    Raises:
        ExprError: It does not follow the grammar, or the braces are missing.
    """
    alone = _NAME_ALONE.match(text, start)
    if alone is not None and alone.end() - start <= MAX_LENGTH:
        name = alone[1]
        if name not in _WORDS and name not in _CONSTANTS:
            reference = Reference((name,), alone.start(1))
            return Expr(name, (reference,), lambda lookup: lookup(name)), alone.end()
    parser = _Parser(text, start)
    evaluate = parser.expr(0)
    end = parser.expect_end("}}")
    return Expr(text[start : end - 2].strip(), tuple(parser.references), evaluate), end


def pick(value: Json, names: tuple[str | int, ...], reference: Reference) -> Json:
    """Follow keys and indexes into a JSON value.

    Raises:
        ExprError: A field is missing; the message names those that are there.
    """
    done = reference.root
    for name in names:
        if isinstance(value, dict) and (key := str(name)) in value:
            value = value[key]
        elif isinstance(value, list) and isinstance(name, int) and name < len(value):
            value = value[name]
        else:
            raise _missing(value, name, done, reference)
        done = f"{done}.{name}"
    return value


def _missing(value: Json, name: str | int, done: str, reference: Reference) -> ExprError:
    if isinstance(value, dict):
        known = ", ".join(map(str, list(value)[:8])) or "no fields"
        hint = suggest(str(name), map(str, value))
        return ExprError(f"{done} has no field {name!r}; it has {known}", reference.offset, hint)
    if isinstance(value, list):
        return ExprError(f"{done} is a list of {len(value)}, not {name!r}", reference.offset)
    kind = "null" if value is None else f"a {type(value).__name__}"
    return ExprError(f"{done} is {kind} and has no field {name!r}", reference.offset)


class _Parser:
    """Recursive descent over one text; makes closures, so that evaluating parses nothing."""

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.start = start
        self.position = start
        self.references: list[Reference] = []
        self.token = self._scan()

    def _scan(self) -> _Token:
        match = _TOKEN.match(self.text, self.position)
        if match is None:
            rest = self.text[self.position :].lstrip()
            offset = len(self.text) - len(rest)
            if not rest:
                return _Token("end", "", len(self.text))
            if rest[0] in "'\"":
                raise ExprError("a text in quotes is not closed", offset)
            hint = "write == to compare" if rest[0] == "=" else ""
            raise ExprError(f"unexpected {rest[0]!r} in an expression", offset, hint)
        self.position = match.end()
        if self.position - self.start > MAX_LENGTH:
            raise ExprError(f"an expression may have {MAX_LENGTH:,} characters at most", self.start)
        kind = match.lastgroup or ""
        text = match[kind]
        if kind == "op" or (kind == "name" and text in _WORDS):
            kind = text
        return _Token("number" if kind == "int" else kind, text, match.start(match.lastgroup or 0))

    def _next(self) -> _Token:
        token = self.token
        self.token = self._scan()
        return token

    def expect_end(self, kind: str) -> int:
        """Check that nothing follows but `kind`; gives the offset behind it."""
        if self.token.kind != kind:
            raise self._unexpected("an operator or the end" if kind == "end" else "'}}'")
        return self.token.offset + 2

    def _unexpected(self, wanted: str) -> ExprError:
        found = repr(self.token.text) if self.token.kind != "end" else "the end"
        hint = {"if": "", "AND": "write and", "OR": "write or"}.get(self.token.text, "")
        return ExprError(f"expected {wanted}, found {found}", self.token.offset, hint)

    def expr(self, depth: int) -> Evaluate:
        """``or`` of ``and`` of ``not``; each side is evaluated only if it matters."""
        if depth > MAX_DEPTH:
            raise ExprError(f"nested deeper than {MAX_DEPTH}", self.token.offset)
        sides = [self._and(depth)]
        while self.token.kind == "or":
            self._next()
            sides.append(self._and(depth))
        return sides[0] if len(sides) == 1 else _either(sides)

    def _and(self, depth: int) -> Evaluate:
        sides = [self._not(depth)]
        while self.token.kind == "and":
            self._next()
            sides.append(self._not(depth))
        return sides[0] if len(sides) == 1 else _both(sides)

    def _not(self, depth: int) -> Evaluate:
        if depth > MAX_DEPTH:
            raise ExprError(f"nested deeper than {MAX_DEPTH}", self.token.offset)
        if self.token.kind == "not":
            self._next()
            inner = self._not(depth + 1)
            return lambda lookup: not inner(lookup)
        return self._compare(depth)

    def _compare(self, depth: int) -> Evaluate:
        left = self._operand(depth)
        kind, offset = self.token.kind, self.token.offset
        if kind in {"==", "!="}:
            self._next()
            return _equality(left, self._operand(depth), kind == "==")
        if kind in _ORDERED:
            self._next()
            return _ordering(left, self._operand(depth), kind, offset)
        if kind in {"in", "not"}:
            self._next()
            if kind == "not":
                if self.token.kind != "in":
                    raise self._unexpected("'in' after 'not'")
                self._next()
            return _containing(left, self._operand(depth), kind == "in", offset)
        return left

    def _operand(self, depth: int) -> Evaluate:
        token = self.token
        if token.kind == "number":
            self._next()
            number = float(token.text) if set(token.text) & set(".eE") else int(token.text)
            return lambda lookup: number
        if token.kind == "text":
            self._next()
            text = _ESCAPE.sub(r"\1", token.text[1:-1])
            return lambda lookup: text
        if token.kind == "name":
            return self._reference()
        if token.kind == "(":
            self._next()
            inner = self.expr(depth + 1)
            self._close(")")
            return inner
        if token.kind == "[":
            return self._list(depth)
        raise self._unexpected("a name, a number, a text in quotes or '('")

    def _close(self, kind: str) -> None:
        if self.token.kind != kind:
            raise self._unexpected(repr(kind))
        self._next()

    def _list(self, depth: int) -> Evaluate:
        self._next()
        items: list[Evaluate] = []
        while self.token.kind != "]":
            items.append(self.expr(depth + 1))
            if self.token.kind != ",":
                break
            self._next()
        self._close("]")
        return lambda lookup: [item(lookup) for item in items]

    def _reference(self) -> Evaluate:
        token = self._next()
        if token.text in _CONSTANTS:
            constant = _CONSTANTS[token.text]
            return lambda lookup: constant
        names: list[str | int] = [token.text]
        while self.token.kind in {".", "["}:
            names.append(self._field())
        reference = Reference(tuple(names), token.offset)
        self.references.append(reference)
        root, fields = token.text, tuple(names[1:])
        if not fields:
            return lambda lookup: lookup(root)
        return lambda lookup: pick(lookup(root), fields, reference)

    def _field(self) -> str | int:
        bracket = self._next().kind == "["
        token = self.token
        if token.kind == "number" and not bracket and "." in token.text:
            # ``rows.0.1`` is two fields, not the number 0.1.
            self.position = token.offset + token.text.index(".")
            token = self.token = token._replace(text=token.text.partition(".")[0])
        if token.kind == "number" and token.text.isdigit():
            name: str | int = int(self._next().text)
        elif bracket and token.kind == "text":
            name = _ESCAPE.sub(r"\1", self._next().text[1:-1])
        elif not bracket and token.kind in {"name", *_WORDS}:
            name = self._next().text
        else:
            raise self._unexpected("a field's name or number")
        if bracket:
            self._close("]")
        return name


def _either(sides: list[Evaluate]) -> Evaluate:
    # A loop and not closures in closures: a long chain must not need a deep stack.
    def either(lookup: Lookup) -> Json:
        value: Json = None
        for side in sides:
            value = side(lookup)
            if value:
                break
        return value

    return either


def _both(sides: list[Evaluate]) -> Evaluate:
    def both(lookup: Lookup) -> Json:
        value: Json = None
        for side in sides:
            value = side(lookup)
            if not value:
                break
        return value

    return both


def _same(left: Json, right: Json) -> bool:
    # JSON's true is not 1, but Python's is.
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    return bool(left == right)


def _equality(left: Evaluate, right: Evaluate, wanted: bool) -> Evaluate:
    return lambda lookup: _same(left(lookup), right(lookup)) is wanted


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordering(left: Evaluate, right: Evaluate, kind: str, offset: int) -> Evaluate:
    def compare(lookup: Lookup) -> bool:
        a, b = left(lookup), right(lookup)
        numbers = _is_number(a) and _is_number(b)
        if not numbers and not (isinstance(a, str) and isinstance(b, str)):
            kinds = f"{type(a).__name__} {kind} {type(b).__name__}"
            raise ExprError(f"cannot compare {kinds}; both must be numbers or texts", offset)
        if kind == "<":
            return bool(a < b)
        if kind == "<=":
            return bool(a <= b)
        return bool(a > b) if kind == ">" else bool(a >= b)

    return compare


def _containing(left: Evaluate, right: Evaluate, wanted: bool, offset: int) -> Evaluate:
    def contains(lookup: Lookup) -> bool:
        item, box = left(lookup), right(lookup)
        if isinstance(box, list):
            found = any(_same(item, other) for other in box)
        elif isinstance(box, str | dict) and isinstance(item, str):
            found = item in box
        else:
            kinds = f"{type(item).__name__} in {type(box).__name__}"
            raise ExprError(f"cannot look for {kinds}; use a list, a text or an object", offset)
        return found is wanted

    return contains
