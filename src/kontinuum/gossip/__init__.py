"""Publish and subscribe: GossipSub 1.1 and 1.2 with peer scores, wire-compatible with libp2p.

The machine is ``router.Router``: everything else here is a part of it. ``service`` is its shell on asyncio,
``kontinuum.sim`` the one in virtual time.
"""
