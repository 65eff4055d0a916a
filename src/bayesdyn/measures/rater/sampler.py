"""The sampler of the rater model: one compiled chain of HMC, run for every construct."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

from bayesdyn.machine import available_cores
from bayesdyn.measures.compiled import kept_on_disk
from bayesdyn.measures.rater.density import Data
from bayesdyn.measures.rater.model import Floats, Lane, Problem, log_posterior, unpack
from bayesdyn.measures.rater.patterns import pad
from bayesdyn.measures.whitened import find_shape, sample_whitened

type Gradient = Callable[[Lane, jax.Array], tuple[jax.Array, jax.Array]]
type Chain = Callable[[Lane, jax.Array, jax.Array, jax.Array], dict[str, jax.Array]]

_RHAT, _ESS, _MORE = 1.01, 200, 4
_FEWEST = {"raters": 3, "patterns": 256, "sessions": 64, "dyads": 32}


@dataclass(frozen=True)
class Draws:
    """Posterior of one construct in the units of the ratings, and how well it was sampled.

    Attributes
    ----------
    mu, g, h, sigma
        (draw, rater), see :class:`~bayesdyn.measures.rater.density.Parameters`.
    w, s
        (draw,) share of the error variance that follows token variance; share of error in what LLMs have in
        common.
    true_share, error_share
        (draw, 3) parts of exchange, session and dyad.
    rhat, ess
        Largest split R-hat and smallest effective sample size over the parameters.
    divergences
        Number of divergent draws.
    """

    mu: Floats
    g: Floats
    h: Floats
    sigma: Floats
    w: Floats
    s: Floats
    true_share: Floats
    error_share: Floats
    rhat: float
    ess: float
    divergences: int

    @property
    def common(self) -> Floats:
        """(draw, rater) loading on what the raters of a kind have in common, c."""
        return np.sqrt(np.square(self.g) + np.square(self.h))


def _negative(lane: Lane, flat: jax.Array) -> jax.Array:
    return -log_posterior(lane, _unravelled(lane, flat))


def _unravelled(lane: Lane, flat: jax.Array) -> dict[str, jax.Array]:
    """Return the named coordinates of a flat point."""
    raters = lane.spread.shape
    shapes = {"mu": raters, "rho": raters, "scale": raters, "true": (2,), "error": (2,), "w": (), "s": ()}
    found, place = {}, 0
    for name, shape in shapes.items():
        size = shape[0] if shape else 1
        found[name] = flat[place : place + size].reshape(shape)
        place += size
    return found


def _chain(
    lane: Lane, mode: jax.Array, root: jax.Array, key: jax.Array, warmup: int, draws: int
) -> dict[str, jax.Array]:
    """Run one chain of one construct; return its draws."""
    points, diverging = sample_whitened(partial(_negative, lane), mode, root, key, warmup=warmup, draws=draws)
    parameters, s = jax.vmap(lambda point: unpack(lane, _unravelled(lane, point))[:2])(points)
    return {**vars(parameters), "s": s, "diverging": diverging}


def make_lane(problem: Problem, dyads: int, sessions: int, patterns: int, raters: int) -> Lane:
    """Return a problem as NumPy arrays padded to these numbers."""
    absent = raters - len(problem.spread)
    arrays = {
        "data": Data(**asdict(pad(problem.statistics, dyads, sessions, patterns, raters))),
        "spread": np.pad(problem.spread, (0, absent), constant_values=1.0),
        "present": np.pad(np.ones(len(problem.spread)), (0, absent)),
        "llm": np.pad(problem.llm.astype(np.float64), (0, absent)),
        "rho_prior": np.pad(problem.rho_prior, ((0, absent), (0, 0)), constant_values=1.0),
        "shared_prior": np.asarray(problem.shared_prior or (0.0, 0.0)),
        "tokens": np.asarray(problem.tokens and problem.discrimination != "single"),
        "sessions": np.asarray(problem.sessions),
        "dyads": np.asarray(problem.dyads),
        "shared_rho": np.asarray(problem.discrimination in ("single", "proportional")),
        "shared_c": np.asarray(problem.discrimination == "equal"),
    }
    return Lane(**arrays)


def sample_raters(
    problems: Sequence[Problem], *, random_seed: int, chains: int = 2, warmup: int = 150, draws: int = 400
) -> list[Draws]:
    """Return the posterior of each construct, in float64.

    Parameters
    ----------
    problems
        The constructs; they are independent, and all chains run side by side.
    random_seed
        Seed of all chains.
    chains, warmup, draws
        Chains per construct, adaptation steps and kept draws per chain. A construct whose R-hat is above
        1.01 then, or whose least effective number of draws is below 200, gets four more chains.
    """
    if not problems:
        return []
    sizes = _sizes(problems)
    with jax.enable_x64(True):
        lanes = [jax.tree.map(jnp.asarray, make_lane(problem, *sizes)) for problem in problems]
        keys = jax.random.split(jax.random.key(random_seed), (len(problems), chains + _MORE))
        gradient, run = _compiled(sizes, warmup, draws)
    # One compiled chain for all, a thread each: side by side in one program, all would take the steps of the
    # slowest.
    with ThreadPoolExecutor(available_cores()) as pool:
        shapes = list(pool.map(partial(_shape_of, gradient), lanes))
        one_chain = partial(_one_chain, run, lanes, shapes, keys)
        made = list(pool.map(one_chain, np.ndindex(len(problems), chains)))
        own = [made[c * chains : (c + 1) * chains] for c in range(len(problems))]
        found = [
            _one_posterior(each, problem, chains * draws) for each, problem in zip(own, problems, strict=True)
        ]
        # Few dyads leave posteriors that are far from round: those get more chains, of the same program.
        wanting = [c for c, one in enumerate(found) if one.rhat > _RHAT or one.ess < _ESS]
        more = list(pool.map(one_chain, [(c, chains + k) for c in wanting for k in range(_MORE)]))
    for place, c in enumerate(wanting):
        each = own[c] + more[place * _MORE : (place + 1) * _MORE]
        found[c] = _one_posterior(each, problems[c], chains * draws)
    return found


def _shape_of(gradient: Gradient, lane: Lane) -> tuple[jax.Array, jax.Array]:
    """Return the mode, and a root of the inverse curvature there."""
    size = 3 * lane.spread.shape[0] + 6

    def negative(point: Floats) -> tuple[float, Floats]:
        value, slope = gradient(lane, _wide(point))
        return float(value), np.asarray(slope)

    mode, root = find_shape(negative, np.zeros(size))
    return _wide(mode), _wide(root)


def _one_chain(
    run: Chain,
    lanes: Sequence[Lane],
    shapes: Sequence[tuple[jax.Array, jax.Array]],
    keys: jax.Array,
    at: tuple[int, ...],
) -> dict[str, jax.Array]:
    mode, root = shapes[at[0]]
    return run(lanes[at[0]], mode, root, keys[at])


def _wide(values: Floats) -> jax.Array:
    with jax.enable_x64(True):  # the setting is a thread's own
        return jnp.asarray(values)


@lru_cache(maxsize=16)
def _compiled(sizes: tuple[int, int, int, int], warmup: int, draws: int) -> tuple[Gradient, Chain]:
    """Return the compiled gradient and chain for problems padded to these sizes."""
    dyads, sessions, patterns, raters = sizes

    def number(*shape: int, kind: type = np.float64) -> jax.Array:
        return jnp.zeros(shape, kind)

    by_pattern = {name: number(patterns, raters) for name in ("mask", "q", "noise")}
    shapes = {
        "data": Data(
            count=number(sessions, patterns), total=number(sessions, patterns, raters),
            cross=number(patterns, raters, raters), member=number(dyads, sessions), centre=number(raters),
            **by_pattern,
        ),
        **{name: number(raters) for name in ("spread", "present", "llm")},
        "rho_prior": number(raters, 2),
        "shared_prior": number(2),
        **{name: number(kind=np.bool_) for name in ("tokens", "sessions", "dyads", "shared_rho", "shared_c")},
    }  # fmt: skip
    lane, key = Lane(**shapes), jax.eval_shape(lambda: jax.random.key(0))
    point, root = number(3 * raters + 6), number(3 * raters + 6, 3 * raters + 6)
    gradient = jax.jit(jax.value_and_grad(_negative, argnums=1)).lower(lane, point)
    chain = jax.jit(_chain, static_argnames=("warmup", "draws")).lower(lane, point, root, key, warmup, draws)
    # Compiling takes far longer than tracing, and needs no lock.
    with kept_on_disk(), ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(gradient.compile), pool.submit(chain.compile)
        return first.result(), second.result()


def _sizes(problems: Sequence[Problem]) -> tuple[int, int, int, int]:
    """Return dyads, sessions, patterns and raters to pad to.

    Rounded up, so that studies of about one size share one compiled sampler; where there is one only (no
    levels, or complete ratings without token variance), it stays one, which is far faster.
    """
    every = [one.statistics for one in problems]
    counts = {
        "dyads": max(len(one.member) for one in every),
        "sessions": max(len(one.count) for one in every),
        "patterns": max(len(one.mask) for one in every),
    }
    dyads, sessions, patterns = (
        1 if most == 1 else _rounded_up(max(_FEWEST[name], most)) for name, most in counts.items()
    )
    return dyads, sessions, patterns, max(_FEWEST["raters"], *(len(one.spread) for one in problems))


def _rounded_up(number: int) -> int:
    """Return the next of 4, 5, 6 and 7 times a power of two: at most a quarter more."""
    unit = 1 << max((number - 1).bit_length() - 3, 0)
    return -(-number // unit) * unit


def _one_posterior(chains: Sequence[dict[str, jax.Array]], problem: Problem, keep: int) -> Draws:
    """Return the draws of the raters that are there, chains end to end, with their diagnostics."""
    found: dict[str, Floats] = {
        name: np.stack([np.asarray(one[name]) for one in chains]) for name in chains[0]
    }
    diverging = found.pop("diverging")
    # As many draws for every construct, evenly from all of its chains.
    total = found["w"].size
    kept = np.linspace(0, total - 1, min(keep, total)).astype(np.int64)
    by_rater = ("mu", "g", "h", "sigma")
    own = {
        name: values[..., : len(problem.spread)] if name in by_rater else values
        for name, values in found.items()
    }
    together = np.concatenate(
        [values if values.ndim == 3 else values[..., None] for values in own.values()], axis=-1
    )
    together = together[..., np.ptp(together, axis=(0, 1)) > 0]
    flat = {name: values.reshape(-1, *values.shape[2:])[kept] for name, values in own.items()}
    return replace(
        Draws(**flat, rhat=1.0, ess=0.0, divergences=int(diverging.sum())),
        rhat=float(np.max(split_gelman_rubin(together))),
        ess=float(np.min(effective_sample_size(together))),
    )
