"""Which files a transcript path means, and the ids their names carry."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bayesdyn.errors import Fault, FaultList, InputError

_ID_FIELD = re.compile(r"\{(\w*)\}")
_RESERVED = ("speaker", "text", "order", "time", "t", "therapist_text", "client_text")


@dataclass(frozen=True)
class Files:
    """The files to read, in name order, all of one format."""

    format: str
    paths: tuple[Path, ...]
    ignored: int = 0
    """Files of another suffix than the one asked for, and folders."""


@dataclass(frozen=True)
class IdPattern:
    """A pattern such as ``{dyad}_{session}`` for the stem of a file name.

    A field matches as much as it can, so ``{dyad}_{session}`` splits ``site_7_2`` into dyad ``site_7`` and
    session ``2``. Fields other than dyad and session become covariates.
    """

    text: str
    fields: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        fields = tuple(_ID_FIELD.findall(self.text))
        faults = FaultList()
        if "dyad" not in fields:
            faults.add(f"ids {self.text!r} has no field {{dyad}}", 'Write it like ids="{dyad}_{session}"')
        for name, count in Counter(fields).items():
            if count > 1:
                faults.add(f"ids {self.text!r} names {{{name}}} {count} times", "Name each field once")
            if not name.isidentifier() or name in _RESERVED:
                faults.add(f"ids {self.text!r} has the field {{{name}}}",
                           "Use {dyad}, {session} and the names of covariates")  # fmt: skip
        faults.raise_if_any("These ids cannot be used")
        object.__setattr__(self, "fields", fields)

    def match(self, stem: str) -> dict[str, str] | None:
        """Return the fields of a file's stem, or None where the stem does not match."""
        parts = _ID_FIELD.split(self.text)
        regex = "".join(
            f"(?P<{part}>.+)" if index % 2 else re.escape(part) for index, part in enumerate(parts)
        )
        found = re.fullmatch(regex, stem)
        return None if found is None else {"session": "1", **found.groupdict()}


def find_files(path: Path, format: str, suffixes: Mapping[str, tuple[str, ...]]) -> Files:
    """Return the transcript files that ``path`` means.

    Parameters
    ----------
    path
        A file, or a folder (not its subfolders; hidden files are passed over).
    format
        A name in ``suffixes``, or ``auto``: from the suffix.
    suffixes
        Format to the file suffixes that mean it, lower case, with the dot.

    Raises
    ------
    InputError
        No such path, an unreadable or empty folder, a suffix that means no format, or several formats.
    """
    of_suffix = {suffix: name for name, ends in suffixes.items() for suffix in ends}
    if path.is_file():
        return Files(_format_of([path], format, of_suffix, path), (path,))
    if not path.is_dir():
        raise InputError(
            f"Cannot read {path}",
            [Fault("there is no such file or folder", "Check the path for typing errors")],
        )
    try:
        entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        files = [entry for entry in entries if entry.is_file()]
    except OSError as error:
        raise InputError(
            f"Cannot read the folder {path}",
            [Fault(error.strerror or type(error).__name__, "Ask for the right to read it, or copy it")],
        ) from None
    wanted = (
        files if format == "auto" else [file for file in files if file.suffix.lower() in suffixes[format]]
    )
    if not wanted:
        subfolders = sum(entry.is_dir() for entry in entries)
        what = "it holds no transcript files" + (
            f" (but {subfolders} subfolder{'s' * (subfolders > 1)})" if subfolders else ""
        )
        ends = ", ".join(of_suffix if format == "auto" else suffixes[format])
        raise InputError(
            f"Cannot read the folder {path}", [Fault(what, f"Give a folder that holds files in {ends}")]
        )
    name = _format_of(wanted, format, of_suffix, path)
    return Files(name, tuple(wanted), ignored=len(entries) - len(wanted))


def match_ids(paths: Iterable[Path], pattern: IdPattern) -> dict[Path, dict[str, str]]:
    """Return each file's ids from its stem.

    Raises
    ------
    InputError
        Files that do not match, all listed, and files that share a dyad and session.
    """
    faults = FaultList()
    ids: dict[Path, dict[str, str]] = {}
    taken: dict[tuple[str, str], Path] = {}
    for path in paths:
        found = pattern.match(path.stem)
        if found is None:
            faults.add(f"the name does not match ids {pattern.text!r}",
                       "Rename the file, move it away, or give another ids", where=path.name)  # fmt: skip
            continue
        first = taken.setdefault((found["dyad"], found["session"]), path)
        if first != path:
            faults.add(
                f"dyad {found['dyad']}, session {found['session']} is also {first.name}",
                "Keep one file per session", where=path.name,
            )  # fmt: skip
        ids[path] = found
    faults.raise_if_any("These files cannot be told apart by their names")
    return ids


def read_text(path: Path, encoding: str) -> str:
    """Return the text of a file, without its byte order mark.

    Raises
    ------
    InputError
        Unreadable, empty, or not in ``encoding``: with the byte's offset and an encoding to try.
    """
    data = read_bytes(path)
    try:
        text = data.decode(
            "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
        )
    except LookupError:
        raise InputError(
            f"Cannot read {path.name}",
            [Fault(f"Python knows no encoding {encoding!r}", 'Give one such as "utf-8" or "cp1252"')],
        ) from None
    except UnicodeDecodeError as error:
        raise _wrong_encoding(path, f"byte {error.start} is not {encoding}", data) from None
    if "\0" in text:
        offset = data.find(b"\0")
        raise _wrong_encoding(path, f"byte {offset} is a zero byte, so it is not {encoding} text", data)
    if not text.strip():
        raise InputError(
            "Cannot read transcripts",
            [Fault("the file is empty", "Take it out, or fill it", where=path.name)],
        )
    return text


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file, or raise InputError with the reason why not."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            "Cannot read transcripts", [Fault(reason, "Ask for the right to read it", where=path.name)]
        ) from None


def _wrong_encoding(path: Path, what: str, data: bytes) -> InputError:
    remedy = f'Try encoding="{_likely_encoding(data)}", or save the file as UTF-8'
    return InputError("Cannot read transcripts", [Fault(what, remedy, where=path.name)])


def _likely_encoding(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    even, odd = data[0::2].count(0), data[1::2].count(0)
    if even + odd > len(data) / 8:
        return "utf-16-le" if odd > even else "utf-16-be"
    for encoding in ("utf-8", "cp1252"):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def _format_of(paths: list[Path], format: str, of_suffix: Mapping[str, str], source: Path) -> str:
    if format != "auto":
        return format
    faults = FaultList()
    formats: dict[str, list[Path]] = {}
    for path in paths:
        name = of_suffix.get(path.suffix.lower())
        if name is None:
            faults.add(f"suffix {path.suffix!r} means no transcript format ({', '.join(of_suffix)})",
                       "Give format=, or move the file away", where=path.name)  # fmt: skip
        else:
            formats.setdefault(name, []).append(path)
    if len(formats) > 1:
        counts = ", ".join(
            f"{len(members)} {name} (as {members[0].name})" for name, members in formats.items()
        )
        faults.add(f"mixed formats: {counts}", "Read one at a time with format=, or keep one per folder")
    faults.raise_if_any(f"Cannot tell the format of {source}")
    return next(iter(formats))
