"""A model as LaTeX and as a path diagram: every part of it stands there once, and can be typeset."""

import re

import pytest
from matplotlib.mathtext import MathTextParser

from bayesdyn.presets import preset_names
from bayesdyn.structure.language.latex_words import expression_latex, name_latex
from bayesdyn.structure.language.model_file import load_model

SMALL = '''[model]
centering = "session"
paths = """
y_1 ~ k*x + 0.5*r + x:r + -1*lag(x, 2) + 0*phase + mean(x) + lag(y_1) + age + (1 + x | dyad) + (1 | session)
z ~ b*mean(x, dyad) + m[on line]
y_1 ~~ z
q := k / (b + 1)
"""
[constructs]
therapist = ["x"]
client = ["y_1", "z"]
dyad = ["r"]
'''
DEVIATION = r"\widetilde{\text{%s}}"


def rows(latex: str) -> list[str]:
    inside = re.fullmatch(r"\\begin\{align\}\n(.*)\n\\end\{align\}\n(.*)\n", latex, re.DOTALL)
    assert inside
    return [row.strip() for row in inside[1].split("\\\\\n")]


def test_the_equation_of_an_outcome():
    x, r = DEVIATION % "x", DEVIATION % "r"
    flat = " ".join(rows(load_model(SMALL).to_latex([]))).replace(r" \notag &\quad", "")
    assert flat.startswith(
        r"\text{y\_1}_{t} &= \overline{\text{y\_1}}_{s} "
        rf"+ (\mathit{{k}} + u_{{2,d}})\,{x}_{{t}} + 0.5\,{r}_{{t}} + \beta_{{1}}\,{x}_{{t}}\,{r}_{{t}} "
        rf"- 1\,{x}_{{t-2}} + \beta_{{3}}\,\widetilde{{\text{{y\_1}}}}_{{t-1}} "
        r"+ \beta_{4}\,\text{age}_{t} + \varepsilon_{\text{y\_1},t} "
        r"\overline{\text{y\_1}}_{s} &= \mu_{\text{y\_1}} + u_{1,d} "
        r"+ \beta_{2}\,\overline{\text{x}}_{s} + v_{1,s} "
    )
    assert "phase" not in flat
    assert r"\overline{\text{z}}_{s} &= \mu_{\text{z}} + \mathit{b}\,\overline{\text{x}}_{d} " in flat
    assert r"\beta_{5}\,\text{m[on line]}_{t}" in flat
    assert r"\mathrm{Cov}(\varepsilon_{\text{y\_1},t}, \varepsilon_{\text{z},t}) &= " in flat
    assert r"(u_{1,d}, u_{2,d}) &\sim \mathrm{N}(0, T_{d})" in flat
    assert flat.endswith(r"\mathit{q} &:= \frac{\mathit{k}}{\mathit{b} + 1}")


def test_the_default_laws_of_declared_constructs_are_written():
    written, full = (load_model(SMALL).to_latex(constructs) for constructs in ([], None))
    assert r"\text{x}_{t} &=" not in written
    assert r"\text{x}_{t} &= \overline{\text{x}}_{s}" in full
    assert r"\overline{\text{x}}_{d} &= \mu_{\text{x}} + u_{3,d}" in full
    assert r"(\varepsilon_{\text{x},t}, \varepsilon_{\text{r},t}) &\sim \mathrm{N}(0, Q)" in full


@pytest.mark.parametrize(
    ("centring", "mark", "said"),
    [
        ("none", "", "latent mean; $u$"),
        ("dyad", r"\breve", "dyad's latent"),
        ("grand", r"\check", "grand mean"),
    ],
)
def test_centring_has_a_mark_of_its_own(centring, mark, said):
    latex = load_model(
        f'[model]\ncentring = "{centring}"\npaths = "y ~ k*x + x:phase + (1 | dyad)"'
    ).to_latex()
    x = rf"{mark}{{\text{{x}}}}" if mark else r"\text{x}"
    assert rf"\mathit{{k}}\,{x}_{{t}} + \beta_{{1}}\,{x}_{{t}}\,\text{{phase}}_{{t}}" in latex
    assert said in latex.splitlines()[-1]


@pytest.mark.parametrize("name", [*preset_names("models", ".toml"), SMALL])
def test_every_row_can_be_typeset(name):
    latex = load_model(name).to_latex()
    parser = MathTextParser("path")
    for row in rows(latex):
        parser.parse(f"${row.replace('&', '').removesuffix(chr(92) + 'notag')}$")
    for place in re.findall(r"\$[^$]+\$", latex.splitlines()[-1]):
        parser.parse(place)


@pytest.mark.parametrize(
    ("expression", "latex"),
    [
        ("a - (b - c)", "a - (b - c)"),
        ("(a - b) - c", "a - b - c"),
        ("2 * (a + b)", r"2 \cdot (a + b)"),
        ("(a + b) ** 2 / c", r"\frac{(a + b)^{2}}{c}"),
        ("-(a * b)", r"-(a \cdot b)"),
        (
            "abs(a) < rope and not (b > 1 or c >= 2)",
            r"\left| a \right| < rope \wedge \neg (b > 1 \vee c \geq 2)",
        ),
        ("max(a, sqrt(b)) != exp(c)", r"\max(a, \sqrt{b}) \neq \exp(c)"),
    ],
)
def test_expressions_keep_their_meaning(expression, latex):
    assert re.sub(r"\\mathit\{(\w+)\}", r"\1", expression_latex(expression)) == latex


def test_names_are_escaped():
    assert name_latex("a_b[50% & <1]") == r"\text{a\_b[50\% \& \textless{}1]}"


def test_a_diagram_has_each_part_once():
    diagram = load_model(SMALL).diagram([])
    ids = {text: node for node, text in re.findall(r'^\s+(n\d+)\(?\["([^"]*)"\]\)?$', diagram, re.MULTILINE)}
    assert set(ids) == {
        "y_1<br/>mean varies by dyad and session", "z", "x", "r", "x<br/>t - 2", "x<br/>mean of session",
        "y_1<br/>t - 1", "age", "x<br/>mean of dyad", "m[on line]",
    }  # fmt: skip
    y, z, x = ids["y_1<br/>mean varies by dyad and session"], ids["z"], ids["x"]
    lines = [line.strip() for line in diagram.splitlines()]
    assert f'{x} -->|"k, varies by dyad"| {y}' in lines
    assert f'{ids["r"]} -->|"0.5"| {y}' in lines
    assert [f"{x} --- p0", f"{ids['r']} --- p0", f"p0 --> {y}"] == [line for line in lines if "p0" in line][
        1:
    ]
    assert f"{y} <-.-> {z}" in lines
    assert f'{ids["age"]}["age"]' in lines
    assert f'{x}(["x"])' in lines
    # Seven paths of y_1 (that at 0 is left out), two of z.
    assert sum("-->" in line for line in lines) == 9
    assert sum(line.startswith("subgraph") for line in lines) == sum(line == "end" for line in lines) == 3


def test_a_diagram_has_the_default_laws_that_the_equations_have():
    spec = load_model(SMALL)
    diagram = spec.diagram()
    assert diagram == spec.diagram(["x", "y_1", "z", "r"]) != spec.diagram([])
    ids = {text: node for node, text in re.findall(r'^\s+(n\d+)\(?\["([^"]*)"\]\)?$', diagram, re.MULTILINE)}
    lines = [line.strip() for line in diagram.splitlines()]
    x, r = ids["x<br/>mean varies by dyad and session"], ids["r<br/>mean varies by dyad and session"]
    # x is the therapist's: it follows itself and the client's; r is the dyad's: it follows itself.
    for source in ("x<br/>t - 1", "y_1<br/>t - 1", "z<br/>t - 1"):
        assert f"{ids[source]} --> {x}" in lines
    assert f"{ids['r<br/>t - 1']} --> {r}" in lines
    assert sum("-->" in line for line in lines) == 9 + 4
    assert r"\text{x}_{t} &=" in spec.to_latex()
