"""Effects worked out from a fit, draw by draw, as tables with credible intervals.

:func:`effects` (total, direct, indirect), :func:`standardised` and :func:`within_sd`,
:func:`simple_slopes` and :func:`johnson_neyman`, :func:`impulse_response` and :func:`impulse_draws`,
:func:`dyad_paths`, :func:`contrast`. What each number is: docs/effects.md.
"""

from bayesdyn.effects.contrasting import contrast
from bayesdyn.effects.groups import dyad_paths
from bayesdyn.effects.moderation import simple_slopes
from bayesdyn.effects.neyman import JohnsonNeyman, johnson_neyman
from bayesdyn.effects.responses import impulse_draws, impulse_response
from bayesdyn.effects.routes import effects
from bayesdyn.effects.standardising import standardised, within_sd

__all__ = [
    "JohnsonNeyman",
    "contrast",
    "dyad_paths",
    "effects",
    "impulse_draws",
    "impulse_response",
    "johnson_neyman",
    "simple_slopes",
    "standardised",
    "within_sd",
]
