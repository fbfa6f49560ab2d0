"""What a user writes, in YAML or in Python, turned into specs.

It reports every mistake with its place, and never lets a half-checked value through.
"""
