"""Simulated answers on scale points with known truth, for tests of the ordinal rater model."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm


@dataclass(frozen=True)
class Rater:
    """How one rater answers: cuts, own error and blur in units of the true score's SD; see the density."""

    cut: tuple[float, ...]
    own: float
    blur: float = 0.0
    replicates: int = 1
    tokens: bool = False
    kind: str = "llm"
    most: int | None = None


def nested(rng, dyad, session, shares):
    """Standard normals made of parts of exchange, session and dyad with these shares."""
    parts = (np.arange(len(dyad)), session, dyad)
    return sum(
        np.sqrt(share) * rng.normal(size=place.max() + 1)[place]
        for share, place in zip(shares, parts, strict=True)
    )


def simulate_answers(
    seed, raters, *, dyads, sessions, length, shares=(1.0, 0.0, 0.0), s=0.0, construct="self_negative"
):
    """Return ratings and the true scores theta (exchange,), mean 0, SD 1."""
    rng = np.random.default_rng(seed)
    n = dyads * sessions * length
    dyad, session = np.arange(n) // (sessions * length), np.arange(n) // length
    theta = nested(rng, dyad, session, shares)
    common = np.sqrt(1 - s) * theta + np.sqrt(s) * rng.normal(size=n)
    tables = []
    for r, rater in enumerate(raters):
        seen = (common if rater.kind == "llm" else theta) + rater.own * rng.normal(size=n)
        rows = pd.DataFrame(
            {
                "dyad": [f"d{d:03d}" for d in dyad],
                "session": (session % sessions).astype(str),
                "t": np.arange(n) % length,
                "construct": construct,
                "rater": f"r{r}",
                "rater_kind": rater.kind,
                "replicate": 0,
                "scale_min": 1.0,
                "scale_max": float(len(rater.cut) + 1),
            }
        )
        if rater.tokens:
            below = norm.cdf((np.array(rater.cut) - seen[:, None]) / rater.blur)
            p = np.diff(np.column_stack([np.zeros(n), below, np.ones(n)]), axis=1)
            rows["value"] = p @ np.arange(1, p.shape[1] + 1)
            rows["probabilities"] = list(p)
            tables.append(rows.iloc[: rater.most])
            continue
        for k in range(rater.replicates):
            answer = 1 + np.searchsorted(rater.cut, seen + rater.blur * rng.normal(size=n))
            tables.append(rows.assign(value=answer.astype(float), replicate=k).iloc[: rater.most])
    return pd.concat(tables, ignore_index=True), theta
