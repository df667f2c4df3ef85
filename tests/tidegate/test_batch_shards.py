from __future__ import annotations

import os
import signal
import socket
import threading

import pytest

from tidegate import batch_shards


def test_ctrl_c_waits_until_a_process_has_started_in_any_thread() -> None:
    arrived, written = socket.socketpair()
    written.setblocking(False)
    wakeup = signal.set_wakeup_fd(written.fileno())
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    steps = []

    def start() -> None:
        with batch_shards._interrupts_held():
            os.kill(os.getpid(), signal.SIGINT)
            assert arrived.recv(1) == bytes([signal.SIGINT])
            steps.append("started")

    try:
        with pytest.raises(KeyboardInterrupt):
            start()
        assert steps == ["started"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.set_wakeup_fd(wakeup)
        done.set()
        other.join()
        arrived.close()
        written.close()


def test_other_threads_are_left_alone() -> None:
    def start() -> None:
        with batch_shards._interrupts_held():
            found.append(signal.getsignal(signal.SIGINT))

    found: list[object] = []
    thread = threading.Thread(target=start)
    before = signal.getsignal(signal.SIGINT)
    thread.start()
    thread.join()
    assert found == [before]
