"""Attacks on the readers of foreign files: seeds by the real libraries, what is done to them, how it is judged."""
