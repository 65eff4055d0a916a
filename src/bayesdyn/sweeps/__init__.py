"""Sensitivity analyses: what would have to be true for a conclusion to change."""
