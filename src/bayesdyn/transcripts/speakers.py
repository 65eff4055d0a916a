"""Who speaks: labels of speakers, and their roles."""

import re
from collections.abc import Iterable, Mapping

from bayesdyn.errors import FaultList

ROLES = ("therapist", "client", "other")
DEFAULT_SPEAKERS: dict[str, str] = {
    **dict.fromkeys(
        ["therapist", "t", "th", "counselor", "counsellor", "clinician", "psychologist", "psychotherapist"],
        "therapist",
    ),
    **dict.fromkeys(["client", "c", "cl", "patient", "p", "pt"], "client"),
}
"""Labels known where the caller gives no ``speakers``; every other label is a third speaker."""

_CLOCK = r"(?P<clock>(?:\d+:)?\d{1,2}:\d{2}(?:[.,]\d+)?)"
_LEADING_CLOCK = re.compile(rf"\s*(?:\[{_CLOCK}\]|\({_CLOCK.replace('clock', 'clock2')}\))\s*[-–]?\s*")
_LABEL = re.compile(r"\s*(?P<label>[^:：\n]{1,60}?)\s*[:：](?!//)\s*(?P<text>.*)", re.DOTALL)
_NAME_LIKE = re.compile(r"[^\W\d_a-z][\w.'’-]*(?: (?:[^\W_a-z][\w.'’-]*|\d+)){0,2}")
_PLAIN = re.compile(r"[\w-]+(?: [\w-]+)?")


def normal_label(label: str) -> str:
    """Return a label as it is compared: case folded, spaces collapsed, no colon at its end."""
    return " ".join(label.split()).rstrip(":：").strip().casefold()


def speaker_roles(speakers: Mapping[str, str] | None) -> dict[str, str]:
    """Return normal label to role (``therapist``, ``client`` or ``other``).

    A caller's map replaces the default one: where C is the counsellor, ``{"C": "therapist", "P": "client"}``
    must not leave a second meaning of C behind.

    Raises
    ------
    InputError
        A role that is none of the three, a label given two roles, no therapist or no client.
    """
    if speakers is None:
        return dict(DEFAULT_SPEAKERS)
    faults = FaultList()
    roles: dict[str, str] = {}
    for label, role in speakers.items():
        if str(role).casefold() not in ROLES:
            faults.add(f"speakers maps {label!r} to {role!r}", f"Map each label to {', '.join(ROLES)}")
        elif roles.setdefault(normal_label(label), role.casefold()) != role.casefold():
            faults.add(f"speakers gives {label!r} two roles (case does not count)", "Give it one")
    for role in ROLES[:2]:
        if not faults.faults and role not in roles.values():
            faults.add(
                f"speakers names no {role}", 'Write it like speakers={"T": "therapist", "C": "client"}'
            )
    faults.raise_if_any("These speakers cannot be used")
    return roles


def split_label(line: str, known: Iterable[str]) -> tuple[str | None, str, str | None]:
    """Split ``[00:01:05] Speaker: text`` into label, text and clock; label None where there is none.

    What stands before the first colon is a label if it is a known one, or if it looks like a name: one to
    three words that each begin with a capital or are a number.
    """
    clock = None
    timed = _LEADING_CLOCK.match(line)
    if timed:
        clock = timed["clock"] or timed["clock2"]
        line = line[timed.end() :]
    found = _LABEL.fullmatch(line)
    if found and (normal_label(found["label"]) in known or _NAME_LIKE.fullmatch(found["label"])):
        return found["label"], found["text"].strip(), clock
    return None, line.strip(), clock


def shown_names(names: Iterable[object]) -> str:
    """Return names as an error may show them: what could be a piece of a transcript is only counted."""
    distinct = list(dict.fromkeys(str(name).strip() for name in names))
    few = len(distinct) <= _MOST_NAMES
    plain = [name for name in distinct if few and len(name) <= _LONGEST_NAME and _PLAIN.fullmatch(name)]
    hidden = len(distinct) - len(plain)
    if hidden:
        plain.append(f"{hidden} not shown" if plain else f"{hidden}, not shown")
    return ", ".join(plain) or "none"


_MOST_NAMES = 40
_LONGEST_NAME = 30
