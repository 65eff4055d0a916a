"""The README's two commands: complete, and the gate calls the second."""

import ast
import os
import re
import tomllib

import pytest

# These studies have few dyads; that a fit warns of them is tested in tests/fitting.
pytestmark = pytest.mark.filterwarnings("ignore::bayesdyn.errors.DataWarning")

BOOT = "python3 -m venv .boot && .boot/bin/pip install uv && "


def commands(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.startswith("    ") and "uv run" in line]


def test_the_readme_has_the_two_commands(root):
    demo, tests, *rest = commands((root / "README.md").read_text(encoding="utf-8"))
    assert demo == BOOT + ".boot/bin/uv run --extra local bayesdyn demo --out demo"
    assert tests == BOOT + '.boot/bin/uv run --all-extras --group dev pytest -m "not slow"'
    assert rest == []


def test_the_gate_calls_the_readmes_test_command(root):
    gate = root / ".ci" / "run"
    text = gate.read_text(encoding="utf-8")
    tests = commands((root / "README.md").read_text(encoding="utf-8"))[1]
    assert tests.removeprefix(BOOT) in text.splitlines()
    assert "set -euo pipefail" in text
    assert os.access(gate, os.X_OK)
    for check in ("ruff check", "ruff format --check", "pyright", "lint-imports"):
        assert re.search(rf"--group dev {check}$", text, re.M), check


def test_what_the_commands_name_exists(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    assert {"local", "docx"} <= set(project["project"]["optional-dependencies"])
    assert "dev" in project["dependency-groups"]
    assert project["tool"]["uv"]["default-groups"] == []
    assert project["project"]["scripts"]["bayesdyn"] == "bayesdyn.cli.app:main"


def test_the_readmes_example_calls_what_is_public(root):
    import bayesdyn as bd

    source = re.search(r"```python\n(.*?)```", (root / "README.md").read_text(encoding="utf-8"), re.S)
    assert source is not None
    tree = ast.parse(source.group(1))
    called = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "bd"
    }
    assert called <= set(bd.__all__)
    assert {"load_model", "simulate", "fit", "report"} <= called


def test_every_file_that_the_readme_links_exists(root):
    links = re.findall(r"\]\(([^)#:]+)\)", (root / "README.md").read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (root / link).exists()] == []


def test_the_python_example_runs_and_its_report_is_written(root, tmp_path, monkeypatch, capsys):
    """As printed, but for fewer draws: it is the code that is judged here, not the posterior."""
    (code,) = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(encoding="utf-8"), re.S)
    short, count = re.subn(r"draws=500, tune=500", "draws=60, tune=150", code)
    assert count == 2
    monkeypatch.chdir(tmp_path)
    exec(compile(short, "README.md", "exec"), {})
    told = capsys.readouterr().out
    assert "disclosure ~ empathy:rapport" in told
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")
