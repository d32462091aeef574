"""The daemon: a line with the load average every few seconds."""
import argparse
import os
import time


def sample() -> str:
    """The load of the last minute, as a line."""
    return f"load {os.getloadavg()[0]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="meterd", description="Says how busy the machine is")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two lines")
    options = parser.parse_args()
    print(f"metering every {options.every:g} s", flush=True)
    while True:
        print(sample(), flush=True)
        time.sleep(options.every)


if __name__ == "__main__":
    main()
