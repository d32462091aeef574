#!/usr/bin/python3
"""Watches how full file systems are, and writes it to a log file of its own.

The highest mark that was ever seen is kept in the working directory when it ends. It needs Python 3.9 and its own library.
"""
import argparse
import logging
import logging.handlers
import os
import pathlib
import shutil
import signal
import sys

HIGHEST = pathlib.Path("highest")  # below the working directory, which the unit sets


def open_log(path: str) -> logging.Logger:
    """A log that goes on in a new file once the old one was renamed: logrotate has nobody to tell."""
    handler = logging.handlers.WatchedFileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("diskwatch")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    return log


def fill(path: str) -> float:
    """How much of a file system is in use, in percent."""
    usage = shutil.disk_usage(path)
    return 100 * usage.used / usage.total


def watch(log: logging.Logger, options: argparse.Namespace, warn_at: float) -> None:
    highest = float(HIGHEST.read_text()) if HIGHEST.exists() else 0.0
    log.info("watching %s every %g s, warning at %g %%", " ".join(options.paths), options.every, warn_at)
    if highest:
        log.info("the highest so far was %.1f %%", highest)
    while True:
        for path in options.paths:
            percent = fill(path)
            highest = max(highest, percent)
            log.log(logging.WARNING if percent >= warn_at else logging.INFO, "%s is %.1f %% full", path, percent)
        if signal.sigtimedwait([signal.SIGTERM], options.every):
            break
    HIGHEST.write_text(f"{highest:.1f}\n")
    log.info("told to end; the highest was %.1f %%", highest)


def main() -> int:
    parser = argparse.ArgumentParser(prog="diskwatch", description="Watches how full file systems are")
    parser.add_argument("-l", "--log-file", required=True, help="where it writes what it sees")
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS", help="the pause between two looks")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a path on each file system to watch")
    options = parser.parse_args()

    # Asked for between two looks, so that none is broken off.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        warn_at = float(os.environ.get("DISKWATCH_WARN_AT", "90"))
        log = open_log(options.log_file)
    except (OSError, ValueError) as e:
        # The journal has this: there is no log file to write it to.
        print(f"diskwatch: {e}", file=sys.stderr)
        return 1
    watch(log, options, warn_at)
    return 0


if __name__ == "__main__":
    sys.exit(main())
