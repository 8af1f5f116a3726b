"""Changing values in the text of a JSON document and nothing else of it: its spaces, order and line ends stay. No I/O."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"


@dataclass(frozen=True)
class _Span:
    """Where a value stands in the text; `name` is where its member begins, in an object."""

    name: int
    start: int
    end: int


def with_values(text: str, values: Mapping[Path, Any]) -> str:
    """The text with each value at its path: replaced where it differs, added as the last member of its object where it is missing.

    ValueError if the text is no JSON (json.JSONDecodeError), KeyError if a path leads through what is no object.
    """
    for path, value in values.items():
        text = _with_value(text, path, value)
    return text


def _with_value(text: str, path: Path, value: Any) -> str:
    spans: dict[Path, _Span] = {}
    _scan(text, _skip(text, 0), 0, (), spans)
    span = spans.get(path)
    if span is None:
        return _with_member(text, path, value, spans)
    if _DECODER.raw_decode(text, span.start)[0] == value:
        return text
    return text[: span.start] + json.dumps(value, ensure_ascii=False) + text[span.end :]


def _with_member(text: str, path: Path, value: Any, spans: Mapping[Path, _Span]) -> str:
    parent, name = path[:-1], path[-1]
    if parent not in spans:
        return _with_value(text, parent, {name: value})
    if text[spans[parent].start] != "{":
        raise KeyError(path)
    member = f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"
    siblings = [span for each, span in spans.items() if each[:-1] == parent and each]
    if not siblings:
        return text[: spans[parent].start] + "{" + member + "}" + text[spans[parent].end :]
    last = siblings[-1]
    before = text[: last.name].rstrip(_SPACE)
    return f"{text[: last.end]},{text[len(before) : last.name]}{member}{text[last.end :]}"


def _scan(text: str, start: int, name: int, path: Path, spans: dict[Path, _Span]) -> int:
    """Note the value that begins at `start` and all that it holds; where it ends."""
    value, end = _DECODER.raw_decode(text, start)
    spans[path] = _Span(name, start, end)
    if isinstance(value, dict | list) and value:
        at = start
        for index in range(len(value)):
            at = first = _skip(text, at + 1)  # past the bracket or the comma
            key: str | int = index
            if isinstance(value, dict):
                key, at = _DECODER.raw_decode(text, at)
                at = _skip(text, _skip(text, at) + 1)  # past the colon
            at = _skip(text, _scan(text, at, first, (*path, key), spans))
    return end


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at
