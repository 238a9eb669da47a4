"""The order of the algorithm, once, and where its whole-picture arrays live."""
