"""Whoever does the work: model APIs, a local model, Python functions, commands.

An agent performs one call and reports what came of it.
It never retries, waits for a limit, or decides.
"""
