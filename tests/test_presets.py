"""Content folders and presets, from this checkout and as in an installed wheel."""

import pytest

from bayesdyn import presets
from bayesdyn.errors import InputError


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Return an installed package's folder, with content of its own."""
    package = tmp_path / "site-packages" / "bayesdyn"
    models = package / "_content" / "models"
    models.mkdir(parents=True)
    for name in ("chen2026", "chen2026_disclosure", "chen2026_within"):
        (models / f"{name}.toml").write_text("")
    monkeypatch.setattr(presets, "_PACKAGE", package)
    return package


@pytest.mark.parametrize("name", ["models", "scoring", "reports"])
def test_a_checkout_has_its_content_at_the_root(root, name):
    assert presets.content_dir(name) == root / name


def test_an_installed_wheel_has_its_content_inside(house):
    assert presets.content_dir("models") == house / "_content" / "models"
    with pytest.raises(FileNotFoundError, match="reinstall bayesdyn"):
        presets.content_dir("nothing")


def test_names_and_files_of_presets(house):
    assert presets.preset_names("models", ".toml") == ["chen2026", "chen2026_disclosure", "chen2026_within"]
    found = presets.resolve("chen2026", "models", ".toml", "model")
    assert found == house / "_content" / "models" / "chen2026.toml"


def test_a_path_goes_before_a_preset(house, tmp_path):
    mine = tmp_path / "chen2026.toml"
    mine.write_text("")
    assert presets.resolve(mine, "models", ".toml", "model") == mine
    assert presets.resolve(str(mine), "models", ".toml", "model") == mine


@pytest.mark.parametrize(
    ("name", "hint"), [("chen2025", "Did you mean 'chen2026'?"), ("zzz", "Give a path or a preset")]
)
def test_an_unknown_name_lists_the_presets_and_the_nearest(house, name, hint):
    with pytest.raises(InputError) as caught:
        presets.resolve(name, "models", ".toml", "model")
    assert f"There is no model '{name}'" in str(caught.value)
    assert "chen2026, chen2026_disclosure, chen2026_within" in str(caught.value)
    assert hint in str(caught.value)


def test_a_missing_file_of_the_right_suffix_is_no_preset(house):
    with pytest.raises(InputError, match=r"There is no model 'chen2026\.toml'"):
        presets.resolve("chen2026.toml", "models", ".toml", "model")
