"""Many machines: calls leave for workers on a Ray cluster; the journal keeps what is true."""
