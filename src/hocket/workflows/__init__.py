"""Plan, panel, consensus, review and ballot: what follows from what happened.

Pure: each workflow is a machine that takes events and hands out commands.
It never learns who carries them out.
"""
