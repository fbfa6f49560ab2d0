"""Pure: what will happen: virtual time that drives machines and limits, and the look-ahead."""
