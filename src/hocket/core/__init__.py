"""Pure: values, specs, errors, events, commands, and the machine of a run.

Nothing in this room knows a clock, a file, a random number or an event loop.
Time and ids arrive inside events.
"""
