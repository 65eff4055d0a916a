"""Measures, from ratings (:func:`measure`) or from scores of elsewhere (:func:`as_measures`)."""

from bayesdyn.measures.given import as_measures

__all__ = ["as_measures"]
