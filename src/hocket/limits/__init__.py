"""Request and token windows, concurrency, budgets, and the queue that admits calls.

Pure: it answers whether and when, and never waits itself.
"""
