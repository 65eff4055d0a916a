"""Run an engine and say what came out: the fit, its diagnostics, summaries and claims."""
