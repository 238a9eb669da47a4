"""``python -m hdseg_gpu``: the command ``hdseg``."""

from hdseg_gpu.cli import entry_point

if __name__ == "__main__":
    entry_point()
