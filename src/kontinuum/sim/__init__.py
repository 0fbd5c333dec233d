"""Whole networks in one process: virtual time, one seed, the machines of production."""
