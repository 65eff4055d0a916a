"""Counts of ratings for the report: numbers and names of raters, constructs and reasons, nothing else."""

import pandas as pd


def count_ratings(ratings: pd.DataFrame) -> dict[str, object]:
    """Return counts of a table of ratings, JSON-able.

    Parameters
    ----------
    ratings
        Columns ``construct, rater, value, reason``, as :func:`bayesdyn.tables.check_ratings` gives them.

    Returns
    -------
    dict
        ``ratings`` and ``unrated`` (totals), ``rated_by_rater`` (rater to count), ``unrated_by_reason``
        (rater to reason to count; raters that rated everything are left out).
    """
    rated = ratings["value"].notna()
    unrated = ratings[~rated]
    return {
        "ratings": int(rated.sum()),
        "unrated": len(unrated),
        "rated_by_rater": {
            str(name): int(total) for name, total in rated.groupby(ratings["rater"]).sum().items()
        },
        "unrated_by_reason": {
            str(name): {str(reason): int(n) for reason, n in part["reason"].value_counts().items()}
            for name, part in unrated.groupby("rater")
        },
    }
