"""The ledger: every answer, so that nothing is asked twice."""
