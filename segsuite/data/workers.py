"""Worker processes that leave it to the training to end them."""

import os
import signal
import threading


def leave_signals_to_the_training(worker: int) -> None:
    """Makes a loader's worker deaf to Ctrl-C, and to SIGTERM unless its parent sends it.

    A terminal, `timeout` and Slurm signal every process of a run. A worker that obeyed would take
    the run down before it could finish its iteration and write last.ckpt. SIGTERM from the parent
    is how torch and Python end workers, so that one must be obeyed: ignored, the parent would wait
    for ever. And a worker whose parent was killed ends by itself, as torch's do.

    Where the sender of a signal cannot be told (macOS, Windows), SIGTERM stays as it is.

    Args:
        worker: number of the worker, as `worker_init_fn` of a DataLoader gets it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        # Before any other thread of this process begins: threads inherit what is blocked.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey, args=(os.getppid(),), daemon=True).start()


def _obey(parent: int) -> None:
    """Ends this process when `parent` sends SIGTERM; it is cleaned up behind as torch does."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
