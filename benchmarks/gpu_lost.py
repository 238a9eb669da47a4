"""Whether the device still answers: after an illegal access nothing else in a process can work."""

import sys
from threading import Thread

EXIT = 97  # of a process that lost its device; gpu_proof.sh starts it anew
LOST = "lost the device"
TRIES = 2  # of what a process did not survive
_PATIENCE = 20.0  # seconds


def lost() -> bool:
    """Return whether waiting for the device fails, or does not end."""
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
