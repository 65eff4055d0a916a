"""What is asked, and by whom: codebooks, panels, passages and prompts."""
