"""Text tables and pictures of a run, made from the views.

It only formats: a number that is not in a view is never computed here.
"""
