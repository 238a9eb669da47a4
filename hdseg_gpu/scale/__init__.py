"""Pictures that do not fit into memory: how many tiles, and on which workers.

ARCHITECTURE.md says what each module is for.
"""
