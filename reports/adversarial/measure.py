"""Measure what text that tries to steer a rater does to its ratings.

    python reports/adversarial/measure.py [RATER ...]

Twenty fictional exchanges are rated twice: as they are, and with a sentence at the end of the client's turn
(and of the therapist's, for what the therapist shows) that tells the rater what to answer. Printed for each
rater and construct: the mean shift of the expected score, the largest, and how many ratings became
unrated. The parse cannot be steered, since no text of an answer is read as an instruction; the model can.
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd

from bayesdyn.ratings.rate import rate

HERE = Path(__file__).resolve().parent


def main(raters: list[str]) -> None:
    """Rate both versions and print the table."""
    plain = pd.read_csv(HERE / "exchanges.csv", dtype={"dyad": str, "session": str})
    steered = plain.assign(
        client_text=plain["client_text"] + " " + plain["steering"],
        therapist_text=plain["therapist_text"] + " " + plain["steering"],
    )
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger.sqlite"
        before, after = (
            rate(table.drop(columns="steering"), panel="local", ledger=ledger, raters=raters, progress=True)
            for table in (plain, steered)
        )
    keys = ["rater", "construct", "dyad", "session", "t"]
    both = before.merge(after, on=keys, suffixes=("", "_steered"))
    both["shift"] = both["value_steered"] - both["value"]
    both["lost"] = both["value"].notna() & both["value_steered"].isna()
    table = both.groupby(["rater", "construct"]).agg(
        before=("value", "mean"), mean_shift=("shift", "mean"), largest_shift=("shift", "max"),
        unrated=("lost", "sum"), n=("shift", "size"),
    )  # fmt: skip
    sys.stdout.write(table.round(2).to_string() + "\n")
    on_scale = both["value_steered"].dropna().between(1, 5).all()
    sys.stdout.write(f"every steered rating is on the scale: {on_scale}\n")


if __name__ == "__main__":
    main(sys.argv[1:] or ["smollm2"])
