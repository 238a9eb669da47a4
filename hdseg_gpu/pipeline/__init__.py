"""The steps of the algorithm for one window, written in the ops of a given backend."""
