"""The structural model as text and as data: syntax, specification, priors, simulation."""
