"""The page of real ratings says what its script computes: the part of agreement, which takes seconds."""

import importlib.util
import sys

import pytest


@pytest.fixture(scope="module")
def make(root):
    folder = root / "reports" / "real_ratings"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("make_real_ratings", folder / "make.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


def test_the_pages_figures_of_agreement_are_those_of_the_script(make, shared_data):
    page = make.PAGE.read_text(encoding="utf-8")
    tables = make.agreement_tables(shared_data)
    assert set(tables) == {"icc", "kappa", "psych", "annotators-agree"}
    for name, text in tables.items():
        assert make.read_place(page, name) == text, name


def test_a_table_goes_to_its_place_and_nowhere_else(make):
    start, end = make.marks("one")
    page = f"before\n{start}\nold\n{end}\nafter"
    written = make.with_places(page, {"one": "new"})
    assert make.read_place(written, "one") == "new"
    assert written.startswith("before\n")
    assert written.endswith("\nafter")
    with pytest.raises(ValueError, match="one place two"):
        make.with_places(page, {"two": "new"})


@pytest.mark.parametrize(("value", "text"), [(0.5, ".50"), (-0.086, "-.09"), (0.999, "1.00"), (1.5, "1.50")])
def test_figures_are_written_without_the_zero_before_the_point(make, value, text):
    assert make.number(value) == text
