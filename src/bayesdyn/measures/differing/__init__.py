"""Differential error: raters whose error goes with a covariate."""
