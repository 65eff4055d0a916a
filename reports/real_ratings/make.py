"""Write the tables of docs/real_ratings.md, from ratings that real raters gave.

    python reports/real_ratings/make.py DATA [--part agreement]

DATA is the folder that holds ``lend_an_ear``, ``annomi`` and ``icc_reference``; it is beside the project and
never in it. Every table in the page stands between two markers and comes from here; ``--part`` makes some
anew: ``agreement`` takes seconds, ``llms`` and ``annotators`` minutes. No row of the data enters the page.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from rater_tables import crossed_tables, number, shared_error_tables

import bayesdyn as bd

PARTS = ("agreement", "llms", "annotators")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "real_ratings.md"

EXPERTS, LLMS = ["expert1", "expert2", "expert3"], ["claude", "gemini", "gpt"]
BETWEEN = "mean of humans, mean of LLMs"
SCALES = {"lend_an_ear": (1.0, 5.0), "epitome": (0.0, 2.0)}
CODES = ["question", "reflection"]
_PSYCH = {"ICC(1)": "ICC1", "ICC(A,1)": "ICC2", "ICC(C,1)": "ICC3"}
_PANELS = {"all human": "3experts", "all LLM": "3llms", BETWEEN: "expertmean_vs_llmmean"}


def read_conversations(data: Path, framework: str) -> pd.DataFrame:
    """Return the ratings of one framework's 50 conversations by three experts and three LLMs.

    One rating is of a whole conversation, so each is a dyad with one session of one exchange.
    """
    found = pd.read_csv(data / "lend_an_ear" / "ratings_long.csv")
    found = found[(found["framework"] == framework) & found["rater_type"].isin(["expert", "llm"])]
    low, high = SCALES[framework]
    return bd.read_ratings(
        pd.DataFrame(
            {
                "dyad": found["item_id"].astype(str), "session": "1", "t": 0, "rater": found["rater"],
                "construct": found["dimension"].str.removeprefix("level_"), "value": found["value"],
                "rater_kind": found["rater_type"].replace("expert", "human"),
                "scale_min": low, "scale_max": high,
            }
        )
    )  # fmt: skip


def read_annotators(data: Path) -> pd.DataFrame:
    """Return ten annotators' codes of the therapist's utterances: 0 none, 1 the lesser, 2 the fuller kind.

    Reflection: simple, complex. Question: closed, open.
    """
    found = pd.read_csv(data / "annomi" / "ten_annotator_long.csv")
    index = pd.read_csv(data / "annomi" / "transcript_index.csv").set_index("transcript_id")
    found = found[found["interlocutor"] == "therapist"]
    long = found.melt(["transcript_id", "utterance_id", "annotator_id"], CODES, "construct", "value")
    return bd.read_ratings(
        pd.DataFrame(
            {
                "dyad": long["transcript_id"].map(index["dyad_id"]),
                "session": long["transcript_id"].map(index["session"]).astype(str),
                "t": long["utterance_id"], "construct": long["construct"], "value": long["value"],
                "rater": "annotator " + long["annotator_id"].astype(str),
                "scale_min": 0.0, "scale_max": 2.0,
            }
        )
    )  # fmt: skip


def _drawn(row: pd.Series) -> str:
    return f"({number(row['cluster_lower'])}, {number(row['cluster_upper'])})"


def interval(row: pd.Series, kind: str = "") -> str:
    """Return an estimate and its interval."""
    return f"{number(row['estimate'])} ({number(row[f'{kind}lower'])}, {number(row[f'{kind}upper'])})"


def markdown(table: pd.DataFrame) -> str:
    """Return a table of text as Markdown, with its index as first column."""
    head = [str(table.index.name or ""), *map(str, table.columns)]
    rows = [[str(name), *map(str, row)] for name, row in zip(table.index, table.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def agreement_tables(data: Path) -> dict[str, str]:
    """Return the tables of agreement, by the name of their place in the page."""
    both = {name: read_conversations(data, name) for name in SCALES}
    made = {name: bd.agreement(table, levels=["exchange"]) for name, table in both.items()}
    ends = pd.concat([_ends(table) for table in both.values()])
    found = pd.concat(made.values())
    crossed = bd.agreement(read_annotators(data), levels=["exchange"], pairs=False)
    return {
        "icc": markdown(_iccs(found).join(ends)),
        "kappa": markdown(_kappas(found)),
        "psych": _against_psych(data, made),
        "annotators-agree": markdown(_crossed(crossed)),
    }


def _ends(table: pd.DataFrame) -> pd.DataFrame:
    """Return the shares of ratings at the lowest point of the scale, of experts and of LLMs."""
    low = table.assign(low=table["value"] == table["scale_min"])
    share = low.pivot_table(index="construct", columns="rater_kind", values="low", aggfunc="mean")
    return pd.DataFrame(
        {f"at the floor: {who}": share[kind].map("{:.0%}".format)
         for kind, who in (("human", "experts"), ("llm", "LLMs"))}
    )  # fmt: skip


def _iccs(found: pd.DataFrame) -> pd.DataFrame:
    rows = found[found["statistic"] == "ICC(A,1)"].set_index(["construct", "panel"])
    heads = {"all human": "experts", "all LLM": "LLMs", BETWEEN: "mean of experts, mean of LLMs"}
    table = pd.DataFrame(
        {
            f"{head}{which}": {name: told(rows.loc[(name, panel)]) for name in found["construct"].unique()}
            for panel, head in heads.items()
            for which, told in (("", interval), (": drawn", _drawn))
        }
    )
    return table.rename_axis("dimension")


def _kappas(found: pd.DataFrame) -> pd.DataFrame:
    rows = found[found["statistic"] == "kappa quadratic"]
    table = {}
    for name, part in rows.groupby("construct", sort=False):
        kinds = part.set_index(["kind", "panel"]).sort_index()
        pairs = kinds.loc["human - human"]
        table[name] = {
            **{pair.replace("expert", "").replace(", ", " and "): interval(row, "cluster_")
               for pair, row in pairs.iterrows()},
            "two LLMs": _range(kinds.loc["LLM - LLM", "estimate"]),
            "an LLM and an expert": _range(kinds.loc["human - LLM", "estimate"]),
        }  # fmt: skip
    return pd.DataFrame(table).T.rename_axis("dimension").rename(columns=lambda name: _pair_head(str(name)))


def _pair_head(name: str) -> str:
    return f"experts {name}" if name[0].isdigit() else name


def _range(values: pd.Series) -> str:
    return f"{number(values.min())} to {number(values.max())}"


def _crossed(found: pd.DataFrame) -> pd.DataFrame:
    shown = ["ICC(A,1)", "ICC(C,1)", "ICC(A,k)", "alpha ordinal", "alpha nominal"]
    table = {}
    for name in CODES:
        rows = found[found["construct"] == name].set_index("statistic")
        for statistic in shown:
            row = rows.loc[statistic]
            by_formula = "" if np.isnan(row["lower"]) else f"{number(row['lower'])} to {number(row['upper'])}"
            drawn = f"{number(row['cluster_lower'])} to {number(row['cluster_upper'])}"
            table[f"{name}, {statistic}"] = {
                "estimate": number(row["estimate"]),
                "utterances as independent": by_formula or "none",
                "whole transcripts drawn": "none" if np.isnan(row["cluster_lower"]) else drawn,
            }
    return pd.DataFrame(table).T.rename_axis("code, coefficient")


def _against_psych(data: Path, made: dict[str, pd.DataFrame]) -> str:
    """Return how far single-rating ICCs and their F intervals lie from those of R psych."""
    expected = pd.read_csv(data / "icc_reference" / "icc_expected_psych.csv").set_index(["dataset", "type"])
    away, tables = [], 0
    for framework, found in made.items():
        rows = found.set_index(["construct", "panel", "statistic"])
        head = "level_" if framework == "epitome" else ""
        for name in found["construct"].unique():
            for panel, dataset in _PANELS.items():
                tables += 1
                for ours, theirs in _PSYCH.items():
                    row = rows.loc[(name, panel, ours)]
                    psych = expected.loc[(f"{framework}/{head}{name}/{dataset}", theirs)]
                    away += [abs(row["estimate"] - psych["icc"]), abs(row["lower"] - psych["lower"]),
                             abs(row["upper"] - psych["upper"])]  # fmt: skip
    # Below 1e-12 it is rounding, which differs by machine.
    bound = max(1e-12, 10.0 ** np.ceil(np.log10(max(away))))
    return f"{tables} tables, {len(away)} figures: the largest difference is below {bound:.0e}."


def marks(name: str) -> tuple[str, str]:
    """Return the lines around a place of the page."""
    return f"<!-- {name}: from reports/real_ratings/make.py -->", f"<!-- end of {name} -->"


def read_place(page: str, name: str) -> str:
    """Return what stands at a place of the page."""
    start, end = marks(name)
    return page.split(start)[1].split(end)[0].strip()


def with_places(page: str, tables: dict[str, str]) -> str:
    """Return the page with these tables at their places.

    Raises
    ------
    ValueError
        When the page does not have one such place.
    """
    for name, text in tables.items():
        start, end = marks(name)
        if page.count(start) != 1 or page.count(end) != 1:
            raise ValueError(f"the page needs one place {name}: a line {start} and a line {end}")
        before, rest = page.split(start)
        page = f"{before}{start}\n\n{text}\n\n{end}{rest.split(end)[1]}"
    return page


def main(arguments: list[str]) -> None:
    """Make the tables and write them into the page."""
    parser = argparse.ArgumentParser(description="Write the tables of docs/real_ratings.md.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", choices=PARTS, action="append", help="all of them by default")
    given = parser.parse_args(arguments)
    parts, tables = given.part or PARTS, {}
    if "agreement" in parts:
        tables |= agreement_tables(given.data)
    if "llms" in parts:
        both = [read_conversations(given.data, name) for name in SCALES]
        tables |= {name: _text(found) for name, found in shared_error_tables(both).items()}
    if "annotators" in parts:
        tables |= {name: _text(found) for name, found in crossed_tables(read_annotators(given.data)).items()}
    PAGE.write_text(with_places(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")


def _text(found: pd.DataFrame | list[str]) -> str:
    if isinstance(found, list):
        return "\n".join(f"- {line}" for line in found)
    return markdown(found)


if __name__ == "__main__":
    main(sys.argv[1:])
