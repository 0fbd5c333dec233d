"""Clusters of nodes in virtual time: the machine of production, its connections, and thieves of keys.

``scenario`` says what happens, ``world`` carries messages and time, ``host`` runs one machine and what lies
on its disk, ``thief`` a machine with a stolen key; ``simulation`` builds and runs it all, ``measuring`` looks
on.
"""
