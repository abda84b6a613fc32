#!/bin/sh
# Install the wheel and the versions it was tested with:
#
#     sh deploy/install.sh TARGET [DIST]
#
# TARGET becomes a virtual environment that every user can run and that nobody has to write to. DIST
# is the directory that `make wheel` fills.
set -eu
target=$1
dist=${2:-dist}
python=${PYTHON:-python3}

"$python" -m venv --without-pip "$target"
"$python" -m pip --python "$target/bin/python" install --disable-pip-version-check --no-cache-dir \
    --root-user-action=ignore --constraint "$dist/constraints.txt" "$dist"/tallybook-*.whl
chmod -R a+rX,go-w "$target"
