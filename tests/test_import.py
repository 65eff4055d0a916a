"""The public face: light to import, and not shadowed by its own submodules."""

import json
import subprocess
import sys

HEAVY = ("pandas", "xarray", "pandera", "openai", "pymc", "jax", "arviz")

LIGHT = f"""
import sys, json
import bayesdyn
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""

EVERY = """
import importlib, json, pkgutil, warnings
warnings.simplefilter("ignore")
import bayesdyn
names = [module.name for module in pkgutil.walk_packages(bayesdyn.__path__, "bayesdyn.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
faults = [name for name in bayesdyn.__all__ if not callable(getattr(bayesdyn, name))]
print(json.dumps({"faults": faults, "submodules": names, "public": bayesdyn.__all__}))
"""


def run(code: str):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_import_bayesdyn_leaves_the_heavy_packages_out():
    assert run(LIGHT) == []


def test_every_public_function_is_callable_after_every_submodule_is_imported():
    found = run(EVERY)
    assert found["faults"] == []
    assert "bayesdyn.transcripts.read" in found["submodules"]
    assert len(found["public"]) >= 10


def test_dir_and_unknown_names():
    assert run(
        "import bayesdyn, json; print(json.dumps('fit' in dir(bayesdyn) and '__version__' in dir(bayesdyn)))"
    )
    assert run("import bayesdyn, json; print(json.dumps(bayesdyn.__version__))").count(".") == 2
    assert run("import bayesdyn, json; print(json.dumps(hasattr(bayesdyn, 'nothing')))") is False
