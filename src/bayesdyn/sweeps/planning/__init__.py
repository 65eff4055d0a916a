"""Planning of further ratings: which buys more precision for a path."""
