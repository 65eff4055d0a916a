"""What a problem takes from measures: rows, covariates and their coding, groups, times, ratings."""
