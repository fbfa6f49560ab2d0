"""The `hocket` command.

It parses arguments and prints results.
Heavy modules are never imported before the command that needs them is known.
"""
