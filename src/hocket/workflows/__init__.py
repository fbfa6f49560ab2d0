"""Pure: the workflows, each a machine that says what follows from what happened."""
