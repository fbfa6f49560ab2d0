"""Builds an engine from a spec and a state folder.

The only room that picks adapters; nothing below it knows which journal or which agents it got.
"""
