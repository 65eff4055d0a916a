"""The ordinal rater model: answers per scale point, density, sampler, likelihood summary."""
