"""Texts of small models that several tests fit."""

TINY = """
[model]
name = "tiny"
centering = "none"
paths = '''
disclosure ~ empathy + lag(disclosure)
'''
[constructs]
therapist = ["empathy"]
client = ["disclosure"]
"""
MODERATED = """
[model]
name = "small"
centering = "none"
paths = \"\"\"
disclosure ~ de*empathy + dr*rapport + der*empathy:rapport + lag(disclosure)
disclosure ~ (1 | dyad)
\"\"\"
[constructs]
therapist = ["empathy"]
dyad = ["rapport"]
"""
