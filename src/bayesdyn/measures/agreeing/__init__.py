"""How far raters agree: coefficients, their intervals, and the cluster bootstrap."""
