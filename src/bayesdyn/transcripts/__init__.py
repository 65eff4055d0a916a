"""Read transcripts of any common form and form exchanges."""
