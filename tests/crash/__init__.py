"""Crash safety: saves whose system calls fail, one after the other, and saves that are killed. See `run`."""
