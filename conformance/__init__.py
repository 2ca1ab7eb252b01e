"""The conformance suite: cases, and a runner that holds any implementation to them (README.md)."""
