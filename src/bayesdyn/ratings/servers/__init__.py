"""Talking to LLM servers: the client, the pace, the embedded server, a scripted one."""
