"""The equations of a fit's model within sessions, draw by draw, as slopes at chosen values of the moderators.

A term is a product of factors, so the slope of an outcome on one factor is a sum over the terms that hold it
of coefficient times the other factors' values. Those other factors are the moderators. Every effect of this
package is made of such slopes, so a product needs no special case anywhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesdyn.errors import FaultList
from bayesdyn.fitting.fits import flat, posterior_of, scale_of, spec_as_fitted
from bayesdyn.fitting.units import in_raw
from bayesdyn.structure.language.spec import Factor, ModelSpec, Path
from bayesdyn.structure.quantities import join_residual_cov


@dataclass(frozen=True)
class Equations:
    """The paths of a fit that vary within sessions; N draws, P paths, C constructs.

    Attributes
    ----------
    spec
        The model, with the laws of noisy predictors that the fit has.
    paths
        (P,) the paths within sessions; those between sessions (all factors means) are left out.
    draws
        (N, P) their draws, chains one after the other, standardised units.
    constructs
        (C,) names; every other name is a covariate.
    endogenous
        Those of the constructs that have an equation in this fit.
    centre
        Each covariate's mean over the exchanges: its value where none is asked for.
    spread
        Each covariate's SD over the exchanges.
    scale
        Each construct's raw points per standardised unit.
    """

    spec: ModelSpec
    paths: tuple[Path, ...]
    draws: np.ndarray
    constructs: tuple[str, ...]
    endogenous: tuple[str, ...]
    centre: Mapping[str, float]
    spread: Mapping[str, float]
    scale: Mapping[str, float]

    @property
    def moderators(self) -> dict[str, Factor]:
        """Every factor of a product, by its spelling, in the order of the model."""
        products = [path.term.factors for path in self.paths if len(path.term.factors) > 1]
        return {str(factor): factor for factors in products for factor in factors}

    def value(self, factor: Factor, at: Mapping[str, float]) -> float:
        """Return where a moderator is held.

        That is its own entry of ``at``; for a lag without one, the entry of the same name now, so that a
        moderator held at a value was there before too; else its centre. A construct's centre is 0: the
        session's mean, the dyad's, or the grand mean, as the model centres it. A covariate's is its mean.
        """
        if str(factor) in at:
            return float(at[str(factor)])
        if factor.kind == "lag" and factor.name in at:
            return float(at[factor.name])
        return self.centre.get(factor.name, 0.0)

    def held(self, outcome: str, factor: Factor, along: str, at: Mapping[str, float]) -> dict[str, float]:
        """Return where each moderator of a slope stands while one of them, ``along``, is moved.

        Each is held where ``at`` says: a lag of what is moved stays where it is and does not follow it.
        """
        others = self.moderators_of(outcome, factor).items()
        return {name: self.value(one, at) for name, one in others if name != along}

    def unit(self, outcome: str, cause: str, units: str) -> float:
        """Return what a slope is multiplied by: 1, or raw points of the outcome per raw unit of the cause."""
        return 1.0 if units == "standard" or outcome == cause else in_raw({outcome: 1, cause: -1}, self.scale)

    def moderators_of(self, outcome: str, factor: Factor) -> dict[str, Factor]:
        """Return what multiplies a factor in the equation of an outcome, by spelling."""
        return {
            str(other): other
            for path in self.paths
            if path.outcome == outcome and factor in path.term.factors
            for other in _without(path.term.factors, factor)
        }

    def slope(self, outcome: str, factor: Factor, at: Mapping[str, float]) -> np.ndarray:
        """Return (N,) the derivative of an outcome by a factor, the moderators at their values."""
        total = np.zeros(len(self.draws))
        for p, path in enumerate(self.paths):
            # The product rule: x:x holds x twice, and its slope is twice x times the coefficient.
            times = path.term.factors.count(factor)
            if path.outcome == outcome and times:
                rest = [self.value(other, at) for other in _without(path.term.factors, factor)]
                total += times * np.prod(rest) * self.draws[:, p]
        return total

    def has(self, outcome: str, factor: Factor) -> bool:
        """Return whether a path leads from a factor to an outcome; one fixed at 0 does not."""
        return any(
            path.outcome == outcome and path.fixed != 0 and factor in path.term.factors for path in self.paths
        )

    def matrix(self, lag: int, at: Mapping[str, float]) -> np.ndarray:
        """Return the slopes of all constructs on all constructs, so many exchanges before.

        Parameters
        ----------
        lag
            0 is within the exchange: B.
        at
            Values of the moderators.

        Returns
        -------
        numpy.ndarray
            (N, C, C): rows are outcomes. A construct without an equation has a row of zeros.
        """
        found = np.zeros((len(self.draws), len(self.constructs), len(self.constructs)))
        for column, name in enumerate(self.constructs):
            factor = Factor(name, "lag", lag) if lag else Factor(name)
            for row, outcome in enumerate(self.constructs):
                if self.has(outcome, factor):
                    found[:, row, column] = self.slope(outcome, factor, at)
        return found


def transition_of(equations: Equations, at: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return what a shock does within the exchange, and how states go from one exchange to the next.

    With lags up to K, ``z_t = B z_t + L_1 z_{t-1} + ... + L_K z_{t-K} + e_t``: the states of K exchanges, the
    latest first, follow a chain with one lag and the companion matrix of ``(I - B)^-1 L_k``
    (Hamilton 1994, Time Series Analysis, section 10.1).

    Returns
    -------
    through, transition
        (N, C, C) ``(I - B)^-1``, and (N, K C, K C).
    """
    size, order = len(equations.constructs), equations.spec.order
    through = np.linalg.inv(np.eye(size) - equations.matrix(0, at))
    transition = np.zeros((len(through), size * order, size * order))
    transition[:, size:, :-size] = np.eye(size * (order - 1))
    for lag in range(1, order + 1):
        transition[:, :size, size * (lag - 1) : size * lag] = through @ equations.matrix(lag, at)
    return through, transition


def equations_of(fit: xr.DataTree) -> Equations:
    """Return the equations of a fit within sessions.

    Parameters
    ----------
    fit
        As :func:`bayesdyn.fit` gives.
    """
    constant, draws = fit["constant_data"].to_dataset(), posterior_of(fit)["path"]
    constructs = tuple(map(str, constant["construct"].values))
    fitted = list(map(str, draws["path_name"].values))
    spec = spec_as_fitted(fit)
    within = tuple(path for path in spec.paths if not path.term.is_between)
    has_law = {path.outcome for path in spec.paths}
    covariates = [name for name in spec.names if name not in constructs]
    return Equations(
        spec=spec,
        paths=within,
        draws=flat(draws)[:, [fitted.index(path.name) for path in within]],
        constructs=constructs,
        endogenous=tuple(name for name in constructs if name in has_law),
        centre={name: float(constant[name].mean()) for name in covariates},
        spread={name: float(constant[name].std(ddof=1)) for name in covariates},
        scale=scale_of(fit),
    )


def residual_covariance(fit: xr.DataTree, equations: Equations) -> np.ndarray:
    """Return the covariance (N, V, V) of the equations' residuals, V the endogenous constructs.

    Where residual SDs vary by group they are those of a group in the middle, whose effect is 0.

    Raises
    ------
    InputError
        A construct without an equation: the fit took its scores as they are.
    """
    posterior, own, faults = posterior_of(fit), equations.endogenous, FaultList()
    for name in equations.constructs:
        if name not in own:
            remedy = f'Fit with measurement="known", or write its equation, e.g. {name} ~ lag({name})'
            faults.add(f"{name!r} has no equation in this fit", remedy)
    faults.raise_if_any("This fit does not say how its constructs move together")
    return flat(join_residual_cov(posterior, own))


def _without(factors: tuple[Factor, ...], factor: Factor) -> tuple[Factor, ...]:
    """Return the factors with one of the given kind taken out."""
    at = factors.index(factor)
    return factors[:at] + factors[at + 1 :]
