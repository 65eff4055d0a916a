"""The report of a fit that a sampler really drew: names and shapes are those the report expects."""

import pytest

from bayesdyn.fitting.fit import fit
from bayesdyn.reporting.html import report
from bayesdyn.structure.language.model_file import load_model
from bayesdyn.structure.simulate import simulate

# These studies have few dyads; that a fit warns of them is tested in tests/fitting.
pytestmark = pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")

MODEL = """
[model]
name = "small"
centering = "none"
paths = '''
disclosure ~ de*empathy + dr*rapport + der*empathy:rapport + lag(disclosure)
disclosure ~ (1 | dyad) + (1 | session)
doubled := 2 * de
'''

[constructs]
therapist = ["empathy"]
client = ["disclosure"]
dyad = ["rapport"]

[claims.raises]
says = "Empathy raises disclosure"
holds = "de > 0"
"""


@pytest.mark.slow
def test_a_sampled_fit_is_reported(tmp_path):
    spec = load_model(MODEL)
    measures, _ = simulate(spec, dyads=4, sessions=2, exchanges=8, random_seed=5)
    fitted = fit(measures, spec, draws=60, tune=60, chains=2, random_seed=6)
    text = report(fitted, out=tmp_path / "report.html", measures=measures).read_text(encoding="utf-8")
    assert "These measures are simulated." in text
    # 60 draws after 60 of warm-up are far too few, and the page must say so.
    assert "every number here is provisional" in text
    assert text.count('class="claim ') == 1
    assert "doubled" in text
    assert "rapport at +1 SD" in text
