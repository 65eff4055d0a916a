"""From fallible ratings to measures: agreement, the rater model, scores with standard errors."""
