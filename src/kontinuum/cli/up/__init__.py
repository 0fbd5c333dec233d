"""A private network of node processes on one machine: ``kontinuum up``.

``summary`` holds what is known about the network (pure), ``table`` draws it, ``child`` is one node process,
``workplace`` is where they live, and ``service`` starts the processes, makes them work, and ends them.
"""
