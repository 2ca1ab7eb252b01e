"""Files with one fault each, by area."""
