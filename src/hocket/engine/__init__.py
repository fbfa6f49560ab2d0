"""The asyncio shell around the machines: the loop, dispatch, timers, recovery, shutdown.

It carries out commands and records facts, and never decides what should happen next.
"""
