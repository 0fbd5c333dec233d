"""Networks of gossip routers in virtual time: the machine of production, its links, and attackers.

``scenario`` says what happens, ``world`` carries RPCs and time, ``host`` runs one router, ``hostile`` the
attackers; ``simulation`` builds and runs it all, ``measuring`` looks on.
"""
