import signal
import threading

import pytest

from synthgen.training.signals import STOPPING, Signals, exit_code


@pytest.fixture(autouse=True)
def handlers_are_put_back():
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield
    assert {number: signal.getsignal(number) for number in STOPPING} == before


@pytest.mark.parametrize("number", STOPPING)
def test_the_first_signal_is_noted_and_nothing_else_happens(number):
    with Signals() as signals:
        assert signals.received is None
        signal.raise_signal(number)
        assert signals.received == number


@pytest.mark.parametrize("first", STOPPING)
def test_a_second_one_does_what_it_did_before(first):
    with Signals() as signals:
        signal.raise_signal(first)
        assert signals.received == first
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_second_one_is_handed_to_the_handler_that_was_there(monkeypatch):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with Signals():
            signal.raise_signal(signal.SIGTERM)
            assert heard == []
            signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_the_process_ignores_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Signals() as signals:
            signal.raise_signal(signal.SIGINT)
            assert signals.received is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_that_were_taken_in_between_are_taken_back():
    with Signals() as signals:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signals.install()
        signal.raise_signal(signal.SIGTERM)
        assert signals.received == signal.SIGTERM


def test_outside_the_main_thread_no_handler_is_touched():
    seen = []

    def enter():
        with Signals() as signals:
            seen.append((signals.received, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(None, signal.getsignal(signal.SIGTERM))]


def test_a_system_without_a_signal_does_without_it(monkeypatch):
    monkeypatch.setattr("synthgen.training.signals.STOPPING", (signal.SIGINT,))
    with Signals() as signals:
        signal.raise_signal(signal.SIGINT)
        assert signals.received == signal.SIGINT


def test_exit_codes_are_those_of_shells():
    assert [exit_code(number) for number in (signal.SIGINT, signal.SIGTERM)] == [130, 143]
