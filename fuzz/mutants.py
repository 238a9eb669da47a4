"""Makes a damaged image from a seed and a number."""

import struct
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzz import blind, corpus
from fuzz.formats import CHANGES
from fuzz.formats.zips import member_changed


@dataclass(frozen=True)
class Mutant:
    """Files by name, the one to open, and a description of the mutations."""

    entry: str
    files: dict[str, bytes]
    origin: str

    def write(self, folder: Path) -> Path:
        """Write the files to a folder and return the path to open."""
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder / self.entry


def generator(campaign: str, seed: int, number: int) -> Random:
    """Return the random generator that determines a case."""
    return Random(f"{campaign} {seed} {number}")


def mutant(rng: Random) -> Mutant:
    """Return the next image: mutated, disguised as another format, or both."""
    seed = rng.choices(corpus.seeds(), corpus.weights())[0]
    kind = rng.random()
    if kind < 0.01:
        return Mutant(seed.entry, seed.files, f"{seed.entry} as it is")
    if kind < 0.05:
        return _foreign(rng)
    if seed.kind == "zarr":
        return _store(rng, seed)
    name, data = seed.entry, seed.files[seed.entry]
    other = _file(rng.choices(corpus.seeds(), corpus.weights())[0])
    how = []
    if seed.kind in CHANGES and kind < 0.65:
        data = _changed(rng, seed.kind, data, other)
        how.append(seed.kind)
    if not how or kind < 0.1:
        data = blind.changed(rng, data, other)
        how.append("bytes")
    if kind > 0.94:
        name = _disguised(rng, name)
        how.append(f"as {name}")
    files = {**{k: v for k, v in seed.files.items() if k != seed.entry}, name: data}
    return Mutant(name, files, f"{seed.entry}: {', '.join(how)}")


def _changed(rng: Random, kind: str, data: bytes, other: bytes) -> bytes:
    """Return the data mutated by their format, or blindly if they no longer have that format."""
    try:
        return CHANGES[kind](rng, data)
    except (struct.error, ValueError, IndexError, StopIteration):
        return blind.changed(rng, data, other)


def _file(seed: corpus.Seed) -> bytes:
    """Return the bytes of one of a seed's files."""
    return seed.files.get(seed.entry, next(iter(seed.files.values())))


def _disguised(rng: Random, name: str) -> str:
    return name.partition(".")[0] + rng.choice(corpus.extensions())


def _foreign(rng: Random) -> Mutant:
    """Return a file of an unsupported format under a supported extension."""
    kind, data = rng.choice(tuple(corpus.foreign().items()))
    if rng.random() < 0.3:
        data = blind.changed(rng, data, most=2)
    name = "foreign" + rng.choice(corpus.extensions())
    return Mutant(name, {name: data}, f"{kind} as {name}")


def _store(rng: Random, seed: corpus.Seed) -> Mutant:
    """Return a folder with one or two of its files mutated, removed or swapped."""
    files, how = dict(seed.files), []
    for _ in range(rng.choice((1, 1, 2))):
        names = sorted(files)
        metadata = [
            name for name in names if name.endswith(("json", ".zarray", ".zattrs", ".zgroup"))
        ]
        name = rng.choice(metadata if metadata and rng.random() < 0.7 else names)
        kind = rng.randrange(12)
        if kind == 0 and len(files) > 1:
            del files[name]
            how.append(f"without {name}")
        elif kind == 1:
            files[name] = files[rng.choice(names)]
            how.append(f"another {name}")
        else:
            files[name] = member_changed(rng, name, files[name])
            how.append(name)
    return Mutant(seed.entry, files, f"{seed.entry}: {', '.join(how)}")
