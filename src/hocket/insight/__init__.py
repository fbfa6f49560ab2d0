"""Views folded from events: timeline, waits, critical path, coordination, cost, explain.

Pure: it reads what was recorded and never guesses at what was not.
"""
