#!/bin/sh
# Put crosstalk itself into the conda environment; the Snakefile says where it is.
set -eu
pip install --no-deps "${CROSSTALK_SOURCE:?}"
