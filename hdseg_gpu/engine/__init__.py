"""The order of the algorithm's steps, and the stores that hold whole-image arrays."""
