"""The laws that noisy predictors follow where a model file does not say otherwise."""

from collections.abc import Iterable
from dataclasses import replace

from bayesdyn.structure.language.spec import Factor, ModelSpec, Path, Term, Varying


def with_default_laws(spec: ModelSpec, constructs: Iterable[str]) -> ModelSpec:
    """Return the spec with the law of every noisy predictor written out.

    A predictor measured with error has a distribution, and that is part of the likelihood (design section
    6): a therapist construct follows its own and its fellows' lags and the lags of the client's constructs
    (Psi, Theta); a dyad construct, and a client construct that is no outcome, follows its own lag (phi); all
    vary by dyad and session. What the model file already says of such a construct, ``0*`` included, stands.

    Parameters
    ----------
    spec
        The spec as written.
    constructs
        The names in it that are constructs, not covariates.
    """
    known = tuple(constructs)
    client = tuple(name for name in known if spec.party(name) == "client")
    therapist = tuple(name for name in known if spec.party(name) == "therapist")
    paths, varying = list(spec.paths), list(spec.varying)
    written = {(path.outcome, path.term.key) for path in spec.paths}
    grouped = {(item.outcome, item.group) for item in spec.varying if not item.spread}
    for name in known:
        if name in client and name in spec.outcomes:
            continue
        sources = (*therapist, *client) if name in therapist else (name,)
        for source in sources:
            term = Term((Factor(source, "lag", 1),))
            if (name, term.key) not in written:
                paths.append(Path(name, term, origin="default"))
        varying += [Varying(name, group) for group in ("dyad", "session") if (name, group) not in grouped]
    # A law makes an outcome of a predictor, and an outcome that nobody declared would be the client's.
    return replace(with_parties(spec, known), paths=tuple(paths), varying=tuple(varying))


def with_parties(spec: ModelSpec, constructs: Iterable[str]) -> ModelSpec:
    """Return the spec with every construct's party settled by what was written."""
    declared = dict(spec.parties)
    found = tuple((name, spec.party(name)) for name in constructs if name not in declared)
    return replace(spec, parties=(*spec.parties, *found))


def lawless(spec: ModelSpec, constructs: Iterable[str]) -> tuple[str, ...]:
    """Return the constructs that no equation moves, or none but a law within its party.

    With scores taken as they are they have no law, unless scores are missing, which a law has to fill.
    """
    known = tuple(constructs)
    led = {*spec.predictors(known), *(name for name in known if name not in spec.outcomes)}
    return tuple(name for name in known if name in led)


def endogenous_of(spec: ModelSpec, constructs: Iterable[str]) -> tuple[str, ...]:
    """Return the constructs with a law, the client's last."""
    own = (name for name in constructs if name in spec.outcomes)
    return tuple(sorted(own, key=lambda name: spec.party(name) == "client"))
