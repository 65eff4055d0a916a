"""Which requests a corpus makes, of which dyads, with what taken out."""
