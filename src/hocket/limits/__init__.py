"""Pure: the limits that calls share, and the queue in which they wait for them."""
