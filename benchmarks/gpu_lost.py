"""Detecting a lost device: after an illegal access a process can no longer use it."""

import sys
from threading import Thread

EXIT = 97  # exit status of a process that lost its device; gpu_proof.sh restarts it
LOST = "lost the device"
TRIES = 2  # attempts at a measurement that ended a process
_PATIENCE = 20.0  # seconds


def lost() -> bool:
    """Return whether synchronising with the device fails or hangs."""
    cupy = sys.modules.get("cupy")
    if cupy is None:
        return False
    answers: list[bool] = []

    def wait() -> None:
        try:
            cupy.cuda.runtime.deviceSynchronize()
        except Exception:
            return
        answers.append(True)

    thread = Thread(target=wait, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return not answers
