"""Rate exchanges with LLMs: codebook, prompt, client, ledger."""
