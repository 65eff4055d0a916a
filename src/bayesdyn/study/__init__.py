"""A whole study, from one file."""
