"""Benchmarks of speed and accuracy against other libraries; see README.md in this folder."""
