"""The append-only log of a run, the outputs stored beside it by content hash, and the inbox.

It never changes or forgets an event that it acknowledged.
"""
