"""The page as a whole: complete in itself, every note and claim, hostile text, whole or not at all."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayesdyn.errors import InputError
from bayesdyn.fitting.claims import check_claims, claim_parts
from bayesdyn.fitting.fits import notes_of
from bayesdyn.fitting.summaries import summary
from bayesdyn.reporting.html import report
from bayesdyn.reporting.words import number, probability


class Page(HTMLParser):
    """Elements with their attributes in order, ids, and all text."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(full_report: Path) -> Page:
    return Page(full_report)


def test_needs_no_script_and_no_network(page):
    assert not page.all("script")
    assert not page.all("img")
    assert "http:" not in page.source.replace("http-equiv", "")
    assert "https:" not in page.source
    for tag, attributes in page.elements:
        assert "src" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert (attributes.get("href") or "#").startswith(("#", "data:,")), tag
    assert set(re.findall(r"url\((.)", page.source)) <= {"#"}
    assert "default-src 'none'" in (page.all("meta")[1]["content"] or "")


def test_every_reference_inside_the_page_has_one_target(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = re.findall(r'(?:href="|url\()#([^")]+)', page.source)
    assert targets
    assert set(targets) <= set(ids)


def test_every_note_and_every_claim_appears(page, study):
    notes = notes_of(study.fit)
    assert len(notes) >= 2
    for note in notes:
        assert note in page.text
    claims = check_claims(study.fit)
    assert len(claims) == 6
    for claim in claims.itertuples():
        assert claim.says in page.text
    parts = claim_parts(study.fit)
    assert len(parts) == 7
    for part in parts.itertuples():
        assert f"{part.part} {probability(part.probability)}" in page.text
    found = re.findall(r'class="claim (\w+)"', page.source)
    assert found == list(claims["verdict"])


def test_answer_counts_the_verdicts(page, study):
    verdicts = list(check_claims(study.fit)["verdict"])
    assert f"{verdicts.count('supported')} are supported" in page.text
    assert "Of the 6 claims of this model" in page.text
    assert "Main caveat: Two raters identify the error variance only because" in page.text


def test_sections_stand_in_their_order(page):
    order = [
        "answer",
        "claims",
        "paths",
        "slopes",
        "responses",
        "sweep",
        "measures",
        "agreement",
        "diagnostics",
        "data",
    ]
    sections = [attributes["id"] for tag, attributes in page.elements if tag in ("header", "section")]
    assert sections == [*order, "reproduce"]


def test_numbers_of_the_path_table_are_those_of_summary(page, study):
    table = summary(study.fit, variables=("path",))
    row = table.loc["self_negative ~ empathy:rapport"]
    cells = f"{number(row['lower'])} to {number(row['upper'])}"
    assert number(row["mean"]) in page.text
    assert cells in page.text
    assert "\u2212" in number(row["mean"])


def test_interval_kind_unit_rule_and_provenance_are_stated(page, study):
    for words in (
        "equal-tailed 95 % credible intervals",
        "standard deviations of the latent scores",
        "posterior probability of at least 0.95",
        "equal-tailed 90 % interval",
        "random seed",
        json.loads(study.fit.attrs["inputs"])["measures"],
        "bayesdyn run study/study.toml",
    ):
        assert words in page.text


def test_is_accessible(page):
    assert page.all("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    tables = page.all("table")
    assert len(tables) == len(page.all("caption")) > 8
    assert all("scope" in head for head in page.all("th"))
    drawings = [attributes for _, attributes in page.elements if attributes.get("role") == "img"]
    assert len(drawings) == 10
    assert all(len(attributes["aria-label"] or "") > 40 for attributes in drawings)


def test_two_runs_give_the_same_bytes(study, tmp_path):
    one = report(study.fit, study.sens, out=tmp_path / "one.html")
    two = report(study.fit, study.sens, out=tmp_path / "two.html")
    assert one.read_bytes() == two.read_bytes()


def test_a_fit_alone_is_enough(study, tmp_path):
    page = Page(report(study.fit, out=tmp_path / "alone.html"))
    assert "No naive fit was given" in page.text
    assert "Reliability sweep" not in page.text
    assert "implied by the fit's standard errors" in page.text
    assert "fit = bd.fit(measures, spec, measurement='known'" in page.text


def test_the_naive_fit_can_be_reported_too(study, tmp_path):
    page = Page(report(study.naive, out=tmp_path / "naive.html"))
    assert 'measurement = "none"' in page.text
    assert "naive: scores taken as free of error" in page.text


def test_factor_zero_of_the_sweep_serves_as_naive(study, tmp_path):
    page = Page(report(study.fit, study.sens, out=tmp_path / "sweep.html"))
    zero = study.sens.paths[
        (study.sens.paths["factor"] == 0) & (study.sens.paths["path_name"] == "disclosure ~ empathy")
    ]
    assert "naive mean" in page.text
    assert number(float(zero["mean"].iloc[0])) in page.text


HOSTILE = '<img src=x onerror=alert(1)> & "$x_1$" </text></svg><script>alert(2)</script>'


def test_hostile_text_stays_text(study, tmp_path):
    path = study.fit["posterior"].to_dataset()["path"]
    terms = [HOSTILE if str(term) == "exploration" else str(term) for term in path["path_term"].values]
    tree = xr.DataTree.from_dict(
        {
            name: node.to_dataset().assign_coords(path_term=("path_name", terms))
            if name == "posterior"
            else node.to_dataset()
            for name, node in study.fit.children.items()
        }
    )
    tree.attrs = {**study.fit.attrs, "model": HOSTILE, "notes": json.dumps([HOSTILE])}
    agreement = study.agreement.assign(panel=HOSTILE)
    counts = {"set_aside": {HOSTILE: 3}, HOSTILE: 2}
    page = Page(
        report(
            tree,
            out=tmp_path / "hostile.html",
            agreement=agreement,
            data_summary=counts,
            reproduce=[HOSTILE],
        )
    )
    assert not page.all("script")
    assert not page.all("img")
    assert page.text.count("onerror=alert(1)") >= 8
    assert HOSTILE in page.text
    assert '"$x_1$"' in page.text


def test_counts_hold_no_text_and_nothing_is_written(study, tmp_path):
    out = tmp_path / "report.html"
    out.write_text("as it was", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        report(
            study.fit,
            out=out,
            data_summary={"rows_in": 3, "first": "I told my sister"},
            rating_summary={"raters": {"a": [1]}},
            agreement=study.agreement.drop(columns="n"),
        )
    assert len(caught.value.faults) == 3
    assert "sister" not in str(caught.value)
    assert out.read_text(encoding="utf-8") == "as it was"
    assert list(tmp_path.iterdir()) == [out]


def test_a_naive_fit_of_another_kind_is_refused(study, tmp_path):
    with pytest.raises(InputError, match='measurement="none"'):
        report(study.fit, naive=study.fit, out=tmp_path / "report.html")
    fewer = study.naive["posterior"].to_dataset().isel(path_name=slice(1, None))
    groups = {name: node.to_dataset() for name, node in study.naive.children.items()}
    other = xr.DataTree.from_dict({**groups, "posterior": fewer})
    other.attrs = study.naive.attrs
    with pytest.raises(InputError, match="another model"):
        report(study.fit, naive=other, out=tmp_path / "report.html")


def test_what_is_no_fit_is_refused(tmp_path):
    with pytest.raises(InputError, match="no group posterior"):
        report(xr.DataTree(), out=tmp_path / "report.html")


@pytest.mark.parametrize("name", ["file/report.html", "folder"])
def test_a_place_that_cannot_be_written_is_told(study, tmp_path, name):
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="Cannot write"):
        report(study.fit, out=tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert not list((tmp_path / "folder").iterdir())


def test_a_fit_of_imputations_says_how_many_there_are(study, page, tmp_path):
    fit = study.fit.copy(deep=True)
    stats = fit["sample_stats"].to_dataset()
    number = np.arange(stats.sizes["draw"]) % 2
    stats["imputation"] = ("chain", "draw"), np.tile(number, (stats.sizes["chain"], 1))
    fit["sample_stats"] = xr.DataTree(stats)
    made = Page(report(fit, out=tmp_path / "report.html", measures=study.measures))
    assert "It pools 2 imputations" in made.text
    assert "It pools" not in page.text
