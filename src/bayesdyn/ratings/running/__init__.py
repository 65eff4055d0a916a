"""A run: one rater's turn, its requests in flight, its budget, its batches."""
