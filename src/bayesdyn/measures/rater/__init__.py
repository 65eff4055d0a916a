"""The Gaussian rater model: its statistics, density, sampler, and what it says of each exchange."""
