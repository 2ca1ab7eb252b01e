"""Networks with a torch and a linen side, for the tests and the demo: nets only, no tests and no mapping of weights."""
