"""Reads what other programs wrote down about their runs, as traces.

Bytes come in, a `hocket.insight.trace.Trace` comes out; nothing here opens a file.
What a log does not say is named in the trace's `missing`, and never made up.
Records are counted from 1.
"""
