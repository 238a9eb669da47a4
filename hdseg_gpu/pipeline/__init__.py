"""What is computed for one tile, step by step, in the ops of an Ops handed in."""
