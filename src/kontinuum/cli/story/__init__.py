"""``kontinuum cluster story``: the life of a cluster's keys, played by the real program for people to watch.

- ``stage``: runs commands and nodes as processes, on loopback, in a directory of their own
- ``acts``: what happens, in order, and what must be true after each act
- ``telling``: how it is shown
"""
