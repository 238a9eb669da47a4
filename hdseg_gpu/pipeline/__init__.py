"""What is computed for one tile, step by step, in the verbs of an Ops handed in."""
