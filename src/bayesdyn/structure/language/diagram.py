"""A model's path diagram as Mermaid text.

Mermaid and not Graphviz, since GitHub, GitLab, JupyterLab and Quarto draw it in a Markdown cell with nothing
to install. Ovals are constructs, which are latent; boxes are covariates; a small circle multiplies what leads
to it; a dotted line with two heads is a residual covariance.
"""

from collections.abc import Iterable, Iterator

from bayesdyn.structure.language.laws import with_default_laws
from bayesdyn.structure.language.spec import (
    BUILT_IN_COVARIATES,
    PARTIES,
    Factor,
    ModelSpec,
    Path,
    covariate_of,
)

_ESCAPES = str.maketrans({"&": "#amp;", "<": "#lt;", ">": "#gt;", '"': "#quot;", "#": "#35;"})


def diagram_of(spec: ModelSpec, constructs: Iterable[str] | None = None) -> str:
    """Return the path diagram of a model; paths fixed at 0 are left out.

    Parameters
    ----------
    spec
        The model.
    constructs
        Constructs that are measured with error, whose default laws are drawn too, as in the equations
        (:func:`.latex.latex_of`). None: those under ``[constructs]``; an empty list: the paths as the model
        file has them.
    """
    noisy = tuple(name for name, _ in spec.parties) if constructs is None else tuple(constructs)
    spec = with_default_laws(spec, noisy)
    paths = [path for path in spec.paths if path.fixed != 0 or _groups(spec, path)]
    factors = [Factor(name) for name in spec.outcomes]
    factors += [factor for path in paths for factor in path.term.factors]
    factors += [Factor(name) for pair in spec.residuals for name in (pair.left, pair.right)]
    ids = {str(factor): f"n{place}" for place, factor in enumerate({str(f): f for f in factors}.values())}
    lines = ["flowchart LR", *_nodes(spec, {str(f): f for f in factors}, ids), *_edges(spec, paths, ids)]
    lines += [f"    {ids[pair.left]} <-.-> {ids[pair.right]}" for pair in spec.residuals]
    return "\n".join(lines) + "\n"


def _nodes(spec: ModelSpec, factors: dict[str, Factor], ids: dict[str, str]) -> Iterator[str]:
    """Yield the nodes, those of one party in a frame of their own."""
    declared = dict(spec.parties)
    shown_by = {
        key: spec.party(factor.name)
        for key, factor in factors.items()
        if factor.name in declared or factor.name in spec.outcomes
    }
    for party in PARTIES:
        members = [key for key in factors if shown_by.get(key) == party]
        if members:
            yield f'    subgraph {party}_box["{party}"]'
            yield from (f"        {ids[key]}{_node(spec, factors[key])}" for key in members)
            yield "    end"
    yield from (f"    {ids[key]}{_node(spec, factors[key])}" for key in factors if key not in shown_by)


def _node(spec: ModelSpec, factor: Factor) -> str:
    name = factor.name.translate(_ESCAPES)
    if factor.kind == "lag":
        text = f"{name}<br/>t - {factor.lag}"
    elif factor.kind == "mean":
        text = f"{name}<br/>mean of {factor.level}"
    else:
        own = [item for item in spec.varying if item.outcome == factor.name and item.intercept]
        means = " and ".join(item.group for item in own if not item.spread)
        spreads = " and ".join(item.group for item in own if item.spread)
        text = f"{name}<br/>mean varies by {means}" if means else name
        text += f"<br/>residual SD varies by {spreads}" if spreads else ""
    known = set(dict(spec.parties)) | set(spec.outcomes)
    # Where nothing is declared, a name that is not built in may be either: a construct is the usual case.
    covariate = covariate_of(factor.name) in BUILT_IN_COVARIATES or covariate_of(factor.name) != factor.name
    covariate = covariate or (bool(spec.parties) and factor.name not in known)
    return f'["{text}"]' if covariate else f'(["{text}"])'


def _edges(spec: ModelSpec, paths: list[Path], ids: dict[str, str]) -> Iterator[str]:
    products: dict[tuple[str, ...], str] = {}
    for path in paths:
        source = ids[str(path.term.factors[0])]
        if len(path.term.factors) > 1:
            source = products.get(path.term.key, "")
        if not source:
            source = products[path.term.key] = f"p{len(products)}"
            yield f'    {source}(("×"))'
            yield from (f"    {ids[str(factor)]} --- {source}" for factor in path.term.factors)
        said = [path.label or (f"{path.fixed:g}" if path.fixed is not None else "")]
        said += [f"varies by {group}" for group in _groups(spec, path)]
        text = ", ".join(part for part in said if part)
        yield f"    {source} -->{f'|"{text}"|' if text else ''} {ids[path.outcome]}"


def _groups(spec: ModelSpec, path: Path) -> list[str]:
    """Return the groups by which a path varies."""
    return [
        item.group
        for item in spec.varying
        if item.outcome == path.outcome and path.term.key in [slope.key for slope in item.slopes]
    ]
