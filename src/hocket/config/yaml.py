"""Reads YAML text as plain JSON values, and remembers where each key and value stands.

It reads less than YAML allows, so that nothing in a file surprises: no anchors and aliases (a few
hundred bytes of them fill the memory), no tags, no second document, no key twice, keys are texts,
`on`, `yes` and `2026-01-01` are texts, and size, depth and number of values are bounded.
It works on the parser's events, so that a bound holds before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

import yaml

from hocket.core.values import Json

MAX_BYTES: Final = 1 << 20
MAX_NODES: Final = 250_000
MAX_DEPTH: Final = 40
MAX_NUMBER: Final = 40
"""Characters of a number."""

# libyaml is some twenty times faster, but its messages say less than those of the Python parser.
_FAST: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_EXPLAINED_UP_TO: Final = 256 << 10

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_PADDED = re.compile(r"[-+]?0[0-9_]+\Z")
_BASED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_JSON = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")

Path: TypeAlias = tuple[str | int, ...]


class Mark(NamedTuple):
    """A place in a text, both counted from 0 in characters."""

    line: int
    column: int


class YamlError(Exception):
    """The text cannot be read; `mark` says where."""

    def __init__(self, message: str, mark: Mark, hint: str = "") -> None:
        self.message = message
        self.mark = mark
        self.hint = hint
        super().__init__(message)


class Node:
    """A value with its place; `key` is the place of the key that leads to it, if one does."""

    __slots__ = ("children", "key", "mark", "style", "value")

    def __init__(self, value: Json, mark: Mark, style: str | None = None) -> None:
        self.value = value
        self.mark = mark
        self.style = style
        self.key: Mark | None = None
        self.children: dict[str, Node] | list[Node] | None = None

    def child(self, name: str | int) -> Node | None:
        """Give the value under a key or an index, if there is one."""
        if isinstance(self.children, dict):
            return self.children.get(str(name))
        if isinstance(self.children, list) and isinstance(name, int):
            return self.children[name] if 0 <= name < len(self.children) else None
        return None


class Document:
    """A file's content: plain values, and where they stand.

    Attributes:
        tree: The values.
    """

    def __init__(self, text: str, root: Node) -> None:
        self.tree: Json = root.value
        self._root = root
        self._text = text
        self._lines: list[str] | None = None

    def with_tree(self, tree: Json) -> Document:
        """Give a document of other values, whose places are looked for in this one's text."""
        other = Document(self._text, self._root)
        other.tree = tree
        return other

    def find(self, path: Path, *, key: bool = False, offset: int | None = None) -> Mark:
        """Give the place of a value, of its key, or of a character within a text.

        An object is shown by its key, which is what a reader looks for.
        Where the path leads out of the file, the last key or text that is still in it is meant.
        """
        node = self._root
        for name in path:
            child = node.child(name)
            if child is None:
                key = key or node.value is None or node.children is not None
                return node.key if key and node.key is not None else node.mark
            node = child
        if node.key is not None and (key or isinstance(node.children, dict)):
            return node.key
        if offset is not None and isinstance(node.value, str):
            return self._within(node, offset)
        return node.mark

    def _within(self, node: Node, offset: int) -> Mark:
        """Find a character of a text in the file, if the text stands there as it is."""
        if self._lines is None:
            self._lines = _BREAK.split(self._text)
        before = node.value[:offset]
        wanted = node.value[offset : offset + 1]
        if node.style == "|":
            line = node.mark.line + 1 + before.count("\n")
            source = self._lines[line] if line < len(self._lines) else ""
            content = node.value.split("\n")[before.count("\n")]
            column = source.find(content) + len(before) - (before.rfind("\n") + 1)
            if content and content in source:
                return Mark(line, column)
            return node.mark
        column = node.mark.column + offset + (1 if node.style in ("'", '"') else 0)
        source = self._lines[node.mark.line]
        start = column - offset
        if source[start:].startswith(before + wanted) and "\n" not in before:
            return Mark(node.mark.line, column)
        return node.mark


def parse(data: bytes) -> Document:
    """Read the bytes of a file.

    Raises:
        YamlError: They are no YAML, or YAML that is not allowed here.
    """
    text = _decode(data)
    try:
        root = _Reader(text).document()
    except yaml.MarkedYAMLError as error:
        raise _explained(text, error) from None
    except yaml.YAMLError as error:
        raise YamlError(f"not YAML: {error}", Mark(0, 0)) from None
    return Document(text, root)


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise YamlError(
            f"the file has more than {MAX_BYTES >> 20} MiB; no more is read", Mark(0, 0)
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mark = _mark(data[: error.start].decode("utf-8-sig", "replace"))
        byte = data[error.start]
        raise YamlError(f"byte 0x{byte:02x} is not UTF-8: is this a text file?", mark) from None
    if bad := _CONTROL.search(text):
        mark = _mark(text[: bad.start()])
        code = ord(bad.group())
        raise YamlError(f"the character U+{code:04X} cannot stand in a text file", mark)
    return text


def _mark(before: str) -> Mark:
    lines = _BREAK.split(before)
    return Mark(len(lines) - 1, len(lines[-1]))


def _explained(text: str, error: yaml.MarkedYAMLError) -> YamlError:
    """Say what is wrong in the words of the parser that explains itself better."""
    if len(text) <= _EXPLAINED_UP_TO:
        try:
            for _ in yaml.parse(text, Loader=yaml.SafeLoader):
                pass
        except yaml.MarkedYAMLError as better:
            error = better
        except yaml.YAMLError:
            pass
    at = error.problem_mark or error.context_mark
    mark = Mark(at.line, at.column) if at is not None else Mark(0, 0)
    line = _BREAK.split(text)[mark.line] if at is not None else ""
    problem = error.problem or str(error)
    if "\\t" in problem or "tab character" in problem:
        return YamlError("a tab cannot indent YAML: use spaces", mark)
    context = f" {error.context}" if error.context else ""
    hint = ""
    if re.search(r"[:,\[-] *\{\{", line):
        hint = "put quotes around a text with a template"
    elif "mapping values are not allowed" in problem:
        hint = "put quotes around a text with ': ' in it"
    elif error.context == "while scanning a quoted scalar" and error.context_mark is not None:
        # The end of the file is where it was noticed, the open quote is where it is wrong.
        mark = Mark(error.context_mark.line, error.context_mark.column)
        problem, context = "the quote that begins here is never closed", ""
    return YamlError(f"not YAML: {problem}{context}", mark, hint)


class _Reader:
    """Builds nodes from the parser's events, with a stack of its own instead of recursion."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.events: Iterator[yaml.Event] = yaml.parse(text, Loader=_FAST)
        self.nodes = 0

    def document(self) -> Node:
        root: Node | None = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise YamlError("a file holds one document: remove '---'", _start(event))
                root = self._value(next(self.events))
        if root is None:
            raise YamlError("the file is empty", Mark(0, 0))
        return root

    def _value(self, event: yaml.Event) -> Node:
        root = self._node(event)
        stack = [root] if root.children is not None else []
        while stack:
            top = stack[-1]
            event = next(self.events)
            if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                stack.pop()
                continue
            if isinstance(top.children, dict):
                name, mark = self._key(event, top.children)
                child = self._node(next(self.events))
                child.key = mark
                top.children[name] = child
                top.value[name] = child.value
            else:
                child = self._node(event)
                # `children` is a list here: a scalar is never on the stack.
                assert isinstance(top.children, list)
                top.children.append(child)
                top.value.append(child.value)
            if child.children is not None:
                stack.append(child)
                if len(stack) > MAX_DEPTH:
                    raise YamlError(f"nested deeper than {MAX_DEPTH}", child.mark)
        return root

    def _node(self, event: yaml.Event) -> Node:
        mark = _start(event)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise YamlError(f"the file has more than {MAX_NODES:,} values", mark)
        if isinstance(event, yaml.AliasEvent):
            raise YamlError(f"aliases are not read: write out what '*{event.anchor}' means", mark)
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise YamlError(f"anchors are not read: remove '&{event.anchor}'", mark)
        tag: str | None = getattr(event, "tag", None)
        if tag:
            tag = tag.replace("tag:yaml.org,2002:", "!!")
            raise YamlError(f"tags are not read: remove {tag!r}", mark)
        if isinstance(event, yaml.MappingStartEvent):
            node = Node({}, mark)
            node.children = {}
            return node
        if isinstance(event, yaml.SequenceStartEvent):
            node = Node([], mark)
            node.children = []
            return node
        assert isinstance(event, yaml.ScalarEvent)
        value: Json = event.value
        # A text without quotes has the style None in one parser and '' in the other.
        if not event.style:
            value = _plain(value, mark)
        if isinstance(value, str) and not value.isascii():
            _check_text(value, mark)
        return Node(value, mark, event.style)

    def _key(self, event: yaml.Event, known: dict[str, Node]) -> tuple[str, Mark]:
        mark = _start(event)
        if isinstance(event, yaml.CollectionStartEvent):
            if isinstance(event, yaml.MappingStartEvent) and event.flow_style:
                hint = "put quotes around a text with a template"
                raise YamlError("'{' begins an object, which cannot be a key", mark, hint)
            raise YamlError("a key is a text, not a list or an object", mark)
        node = self._node(event)
        if not isinstance(node.value, str):
            raise YamlError(f"a key is a text: put quotes around {_shown(node.value)}", mark)
        if node.value in known:
            first = known[node.value].key
            line = f"; the first is in line {first.line + 1}" if first is not None else ""
            raise YamlError(f"the key {node.value[:60]!r} is there twice{line}", mark)
        return node.value, mark


def _start(event: yaml.Event) -> Mark:
    at = event.start_mark
    return Mark(at.line, at.column) if at is not None else Mark(0, 0)


def _shown(value: Json) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_text(text: str, mark: Mark) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise YamlError("the text has half of a character (a lone surrogate)", mark) from None


def _plain(text: str, mark: Mark) -> Json:
    """Say what a text without quotes means, by YAML 1.2's core schema."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    # Nothing that is neither of those and begins otherwise is a number.
    if text[0] not in "0123456789+-.":
        return text
    if _PADDED.match(text):
        raise YamlError(f"is {text[:20]!r} a text or a number?", mark, "put quotes around a text")
    if _NOT_JSON.match(text):
        raise YamlError(f"{text!r} is no number that JSON knows", mark, "put quotes around a text")
    based = _BASED.match(text) is not None
    whole = based or _INT.match(text) is not None
    if not whole and _FLOAT.match(text) is None:
        return text
    if len(text) > MAX_NUMBER:
        raise YamlError(f"a number has {MAX_NUMBER} characters at most", mark)
    number: int | float = int(text, 0 if based else 10) if whole else float(text)
    if isinstance(number, int) and not -(2**63) <= number < 2**64:
        raise YamlError(f"{text} does not fit into 64 bits", mark)
    if number in (float("inf"), float("-inf")):
        raise YamlError(f"{text} is no number that JSON knows", mark)
    return number
