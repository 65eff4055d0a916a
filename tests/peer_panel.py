"""The panel that lavaan and our lagged equations are compared on: AnomAuth, 100 persons, five waves."""

from pathlib import Path

import pandas as pd

MODELS = {
    1: "y1 ~ lag(y1) + (1 | dyad)",
    2: "y1 + y2 ~ lag(y1) + lag(y2) + (1 | dyad)\ny1 ~~ y2",
}
CASES = {
    "ar1": (1, (0, 1, 2, 3, 4)),
    "ar1_gaps": (1, (0, 1, 2, 4, 6)),
    "two_equations": (2, (0, 1, 2, 3, 4)),
    "two_equations_error": (2, (0, 1, 2, 3, 4)),
}
"""By the peer's case in peers.json: number of variables, t of each wave."""


def persons(folder: Path, size: int, times: tuple[int, ...]) -> pd.DataFrame:
    """Return one row per person and wave of the first 100 persons with all waves, in raw units.

    Parameters
    ----------
    folder
        Of real data beside the checkout.
    size
        How many of the two variables.
    times
        ``t`` of each wave.
    """
    wide = (
        pd.read_csv(folder / "longitudinal_reference" / "ctsem_AnomAuth.csv").iloc[:, :10].dropna().head(100)
    )
    waves = [
        wide[[f"Y{v}_T{wave}" for v in range(1, size + 1)]]
        .set_axis([f"y{v}" for v in range(1, size + 1)], axis=1)
        .assign(dyad=wide.index.astype(str), session="1", t=t)
        for wave, t in enumerate(times)
    ]
    return pd.concat(waves, ignore_index=True)


def model(size: int, priors: str) -> str:
    """Return the text of the model file of one or two variables, ``priors`` being its section."""
    listed = ", ".join(f'"y{v}"' for v in range(1, size + 1))
    head = f'[model]\nname = "panel"\npaths = """\n{MODELS[size]}\n"""\n'
    return f"{head}[constructs]\nclient = [{listed}]\n{priors}"


def their_names(size: int) -> dict[str, str]:
    """Return the peer's name of each path and mean by ours."""
    each = range(1, size + 1)
    lags = {f"y{i} ~ lag(y{j})": f"lag{i}{j}" for i in each for j in each}
    return {**lags, **{f"y{i} ~ 1": f"mean{i}" for i in each}}
