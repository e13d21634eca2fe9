"""A plan is carried out: a pure state machine, a journal that survives anything, one loop that touches the world."""
