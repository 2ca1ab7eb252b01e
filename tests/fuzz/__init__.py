"""Fuzzing: files taken apart, changed at one place and put together again with every length and checksum repaired."""
