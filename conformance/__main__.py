"""`python -m ptformat.conformance` is `ptformat conformance`."""

import sys

from ptformat.cli import main

sys.argv.insert(1, "conformance")
main()
