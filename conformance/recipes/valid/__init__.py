"""Files that every reader accepts, by area."""
