"""A plan of further ratings: its tables and sentences, and its file."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bayesdyn.artefacts import check_stamp, stamp, write_text
from bayesdyn.errors import ArtefactError, Fault

_TABLES = ("table", "options", "parts")


@dataclass(frozen=True)
class RatingPlan:
    """Which further ratings make a path more precise, and by how much.

    Attributes
    ----------
    path_name, budget, ci_prob
        What was asked.
    table
        The curves, one row per option and spend: ``option, spend, spent`` (less where there is no more to
        buy), ``units`` (replicates, LLMs, exchanges coded), ``sd`` (posterior SD of the path expected),
        ``relative`` (that over the SD now), ``lower, upper`` (interval expected if the mean stays).
    options
        One row per option at the budget, the best first: ``option, buys, sd, relative, assumes``.
    parts
        What the path's variance is made of now: ``part, share`` (sum 1).
    says
        The best buy in one sentence, and whether it is worth it.
    notes
        What all options assume, and warnings.
    """

    path_name: str
    budget: float
    ci_prob: float
    table: pd.DataFrame
    options: pd.DataFrame
    parts: pd.DataFrame
    says: str
    notes: tuple[str, ...]

    def save(self, path: str | Path) -> None:
        """Write it as one JSON file, whole or not at all."""
        tables = {
            name: json.loads(getattr(self, name).to_json(orient="table", index=False, double_precision=15))
            for name in _TABLES
        }
        plain = {
            "path_name": self.path_name, "budget": self.budget, "ci_prob": self.ci_prob, "says": self.says,
            "notes": list(self.notes),
        }  # fmt: skip
        write_text(path, json.dumps({"stamp": stamp("plan"), **plain, **tables}, indent=1))

    @staticmethod
    def load(path: str | Path) -> "RatingPlan":
        """Read what :meth:`save` wrote.

        Raises
        ------
        ArtefactError
            If it is missing, damaged, or of another kind or version.
        """
        try:
            stored = json.loads(Path(path).read_text(encoding="utf-8"))
            check_stamp(stored.get("stamp"), path, "plan")
            return RatingPlan(
                **{name: stored[name] for name in ("path_name", "budget", "ci_prob", "says")},
                notes=tuple(stored["notes"]),
                **{name: pd.DataFrame(stored[name]["data"]) for name in _TABLES},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            fault = Fault(f"it is missing, damaged or no plan ({type(error).__name__})", "Make it again")
            raise ArtefactError(f"Cannot read {path}", [fault]) from None
