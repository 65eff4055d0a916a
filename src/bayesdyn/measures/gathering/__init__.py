"""Ratings gathered: from a table or a file, checked, in pieces, to arrays over exchange, construct, rater."""
