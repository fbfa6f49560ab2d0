"""Scenarios, faults and what-if runs under a virtual clock.

It drives the same machines as the engine, and never a model of them.
"""
