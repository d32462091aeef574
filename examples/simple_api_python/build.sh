#!/bin/sh
# Makes dist/simple_api: the program, its libraries and Python itself in one executable.
#
# It runs on machines with the same processor, and a C library as new as this machine's or newer.
set -eu
cd "$(dirname "$0")"

python3 -m venv build/venv
build/venv/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement requirements.txt

# The same program becomes the same bytes, so that a deploy of what was merely built again has nothing to do.
export PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=0
build/venv/bin/pyinstaller --onefile --name simple_api --distpath dist --workpath build/work --specpath build \
    --noconfirm --log-level WARN simple_api.py
