#!/usr/bin/python3
"""Counts. Tells systemd when it is ready, and ends in good order on SIGTERM.

It needs nothing but Python's own library: the readiness protocol is one datagram (sd_notify(3)).
"""
import os
import signal
import socket
import sys
import time


def notify(state: str) -> None:
    """Tells the service manager, where there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), address)


def main() -> int:
    running = True

    def stop(_signal, _frame) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    pause = float(os.environ.get("TICK_SECONDS", "5"))
    print(f"starting up, one tick every {pause:g} s", flush=True)
    time.sleep(0.2)  # whatever it takes to be ready
    notify("READY=1")
    count = 0
    while running:
        count += 1
        print(f"tick {count}", flush=True)
        until = time.monotonic() + pause
        while running and time.monotonic() < until:
            time.sleep(0.05)
    notify("STOPPING=1")
    print(f"stopped after {count} ticks", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
