"""Whole networks in one process: virtual time, one seed, the machines of production.

A scenario (``scenario``, a TOML file) says who there is and what happens; ``run`` builds the network, lets it
live and gives a ``Result``. Read top-down: ``run``, ``simulation`` (builds), ``workload`` and ``faults``
(what happens), ``world`` (virtual time), ``dht_host`` (a node), ``hostile`` (attackers), ``network`` (what
lies between).
"""
