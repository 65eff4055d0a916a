"""What a simulated study is made of: lengths, covariates, spreads, states, truth, raters.

The descriptions that :func:`bayesdyn.simulate` and :func:`bayesdyn.simulate_ratings` take are here, as
``bayesdyn.simulating``.
"""

from bayesdyn.structure.simulating.covariates import Covariate
from bayesdyn.structure.simulating.design import Rater, RaterDesign
from bayesdyn.structure.simulating.lengths import NegativeBinomial, Observed
from bayesdyn.structure.simulating.spreads import Spreads

__all__ = ["Covariate", "NegativeBinomial", "Observed", "Rater", "RaterDesign", "Spreads"]
