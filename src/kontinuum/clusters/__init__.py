"""Clusters among nodes: who a peer is, by the chains that both know; how chains and trust spread; meeting.

Keys and what is said about them are in ``kontinuum.keys``; here several chains come together with a disk and
with connections. Nothing is imported here, because most programs need little of it:

- ``book``: :class:`Book`, who is who: our own cluster and those that we trust; ``names``: what people write;
  ``trust``: whom we trust, and who says so
- ``machine``: what nodes of clusters say to each other, as a machine; ``service``: its shell
- ``store``: what the disk keeps; ``handover``: what a parent gives a child; ``acts``: what a person does
- ``meeting``: two people make their clusters know each other
- ``lineage``: the proof for strangers that a newer key is of the same place

Begin with docs/protocols/key-chain.md and docs/adr/0050-self-rekey.md.
"""
