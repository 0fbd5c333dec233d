"""Find any peer by its key, store and fetch records: Kademlia with S/Kademlia's defences, latency tiers.

The machine is ``node.Dht``: everything else here is a part of it. ``service`` is its shell on asyncio,
``kontinuum.sim`` the one in virtual time. The wire is described in ``docs/protocols/kad.md``, what was
measured in ``docs/dht.md``.
"""
