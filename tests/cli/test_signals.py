"""Signals that end a command: none is lost, wherever the main thread is."""

from __future__ import annotations

import signal

import pytest

from holocron_cli.signals import unwinding


class Swallowing:
    """Python drops what comes up while this goes away."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGUSR1)


def test_a_signal_unwinds_the_main_thread() -> None:
    """Whatever it does is left at once, with the exit code that shells give a signal; the handlers are put back."""
    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(SystemExit) as ended, unwinding((signal.SIGUSR1,)):
        signal.raise_signal(signal.SIGUSR1)
    assert ended.value.code == 128 + signal.SIGUSR1
    assert signal.getsignal(signal.SIGUSR1) is before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_python_drops_ends_the_next_wait() -> None:
    """One that comes in a callback of the interpreter's own, as at the end of an import, is not lost."""
    with unwinding((signal.SIGUSR1,)) as check:
        check()
        subject = Swallowing()
        del subject
        with pytest.raises(SystemExit) as ended:
            check()
    assert ended.value.code == 128 + signal.SIGUSR1
