"""Where the content folders are: models, scoring, reports, from a checkout or an installed wheel.

The repository root is itself the first study. A wheel carries the same folders under ``_content``.
"""

from difflib import get_close_matches
from pathlib import Path

from bayesdyn.errors import Fault, InputError

_PACKAGE = Path(__file__).resolve().parent


def content_dir(name: str) -> Path:
    """Return the content folder ``name`` (``models``, ``scoring`` or ``reports``).

    Raises
    ------
    FileNotFoundError
        If neither a checkout nor an installed wheel holds it: a broken installation.
    """
    for base in (_PACKAGE / "_content", _PACKAGE.parents[1]):
        folder = base / name
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"bayesdyn's content folder {name!r} is missing: reinstall bayesdyn")


def preset_names(folder: str, suffix: str) -> list[str]:
    """Return the names of the presets in a content folder, e.g. ``preset_names("models", ".toml")``."""
    return sorted(path.stem for path in content_dir(folder).glob(f"*{suffix}"))


def is_file(path: Path) -> bool:
    """Return whether a path is that of a file; no file bears a name too long for the system, or a NUL."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def resolve(name_or_path: str | Path, folder: str, suffix: str, noun: str) -> Path:
    """Return the file that a user means: an existing path, or the name of a preset.

    Raises
    ------
    InputError
        If it is neither; the error names the presets and the nearest one.
    """
    path = Path(name_or_path)
    if path.suffix == suffix and is_file(path):
        return path
    preset = content_dir(folder) / f"{name_or_path}{suffix}"
    if path.suffix != suffix and is_file(preset):
        return preset
    names = preset_names(folder, suffix)
    near = get_close_matches(str(name_or_path), names, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise InputError(
        f"There is no {noun} {str(name_or_path)!r}",
        [
            Fault(
                f"neither a {suffix} file nor one of the presets {', '.join(names)}",
                f"{hint}Give a path or a preset",
            )
        ],
    )
