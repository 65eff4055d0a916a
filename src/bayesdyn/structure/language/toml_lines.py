"""The line at which each key of a TOML text stands, which tomllib does not tell."""

import re
import tomllib

_KEY = re.compile(r"""^\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=(.*)$""")
_HEADER = re.compile(r"^\s*(\[\[?.*?\]\]?)\s*(#.*)?$")
_LONG = ('"""', "'''")


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line, from 1, of each table and key of a valid TOML text, by its full path of keys."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    closing = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if closing:
            closing = "" if closing in line else closing
            continue
        if key := _KEY.match(line):
            path = _path(f"{key.group(1)} = 0")
            lines.setdefault(table + path, number)
            value = key.group(2).lstrip()
            opened = next((mark for mark in _LONG if value.startswith(mark)), "")
            closing = opened if opened and opened not in value[3:] else ""
        elif (header := _HEADER.match(line)) and (found := _table(header.group(1))):
            table = found
            for depth in range(1, len(table) + 1):
                lines.setdefault(table[:depth], number)
    return lines


def string_start(text: str, line: int) -> tuple[int, int]:
    """Return line and column, from 1, of the first character of the string that a key's line opens."""
    source = text.split("\n")[line - 1]
    match = _KEY.match(source)
    assert match is not None
    value = match.group(2).lstrip()
    quote = next((mark for mark in _LONG if value.startswith(mark)), value[:1])
    column = len(source) - len(value) + len(quote)
    # TOML drops the newline that follows the opening quotes of a long string.
    return (line + 1, 1) if not source[column:].rstrip("\r") and len(quote) == 3 else (line, column + 1)


def place_in_string(text: str, line: int, value: str, offset: int) -> tuple[int, int] | None:
    """Return line and column, from 1, of a character of the string that a key's line opens.

    None where the string is written otherwise than it reads, with escapes: its columns are then not those of
    the file. ``offset`` is the character's place in ``value``, from 0.
    """
    first, column = string_start(text, line)
    begin = sum(len(one) + 1 for one in text.split("\n")[: first - 1]) + column - 1
    if not text.startswith(value, begin):
        return None
    before = value[:offset]
    seams = before.count("\n")
    return first + seams, len(before) - before.rfind("\n") if seams else column + offset


def _path(assignment: str) -> tuple[str, ...]:
    return _keys_down(tomllib.loads(assignment))


def _table(header: str) -> tuple[str, ...]:
    try:
        return _keys_down(tomllib.loads(header))
    except tomllib.TOMLDecodeError:
        return ()  # a line of an array over several lines


def _keys_down(value: object) -> tuple[str, ...]:
    path: list[str] = []
    while value and isinstance(value, dict | list):
        if isinstance(value, list):
            value = value[0]
        else:
            path.append(next(iter(value)))
            value = value[path[-1]]
    return tuple(path)
