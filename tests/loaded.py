"""A dataset for workers of a DataLoader.

It has a module of its own because spawned workers import it by name, and no test's file can be.
"""

import torch


class Refined(torch.utils.data.Dataset):
    """The items of a batch, each refined by the worker that loads it."""

    def __init__(self, refiner, images, coarse):
        self.refiner, self.images, self.coarse = refiner, images, coarse

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.refiner(self.images[i : i + 1], self.coarse[i : i + 1])[0].numpy()
