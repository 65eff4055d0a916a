"""Compiled programs are kept, in a folder of ours, and only while a rater model is sampled."""

import jax
import jax.numpy as jnp
import pytest

from bayesdyn.measures.compiled import kept_on_disk, programs_dir


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of its own; everything is kept, however quickly it compiled."""
    monkeypatch.setenv("BAYESDYN_CACHE", str(tmp_path))
    before = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    yield tmp_path
    jax.config.update("jax_persistent_cache_min_compile_time_secs", before)


def compiled(factor):
    """A program that no other test has compiled."""
    return jax.jit(lambda x: jnp.sin(x) * factor + 0.123456789).lower(jnp.zeros(7)).compile()


def kept(cache):
    return {path.name for path in cache.rglob("*-cache")}


def test_programs_are_kept_while_inside_and_found_again(cache):
    compiled(1.5)
    assert not kept(cache)
    with kept_on_disk():
        with kept_on_disk():
            compiled(2.5)
        compiled(3.5)
    first = kept(cache)
    assert len(first) >= 2
    assert programs_dir().is_relative_to(cache)
    assert programs_dir().stat().st_mode & 0o077 == 0
    compiled(4.5)
    assert kept(cache) == first
    assert jax.config.jax_compilation_cache_dir is None
    with kept_on_disk():
        again = compiled(2.5)
    assert kept(cache) == first
    assert float(again(jnp.zeros(7))[0]) == pytest.approx(0.123456789)


def test_a_folder_that_the_user_chose_stays(cache, tmp_path):
    own = str(tmp_path / "own")
    jax.config.update("jax_compilation_cache_dir", own)
    try:
        with kept_on_disk():
            assert jax.config.jax_compilation_cache_dir == own
        assert jax.config.jax_compilation_cache_dir == own
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
    assert not (cache / "programs").exists()


def test_where_no_folder_can_be_made_nothing_is_kept(cache, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BAYESDYN_CACHE", str(tmp_path / "file"))
    with kept_on_disk():
        assert jax.config.jax_compilation_cache_dir is None
