"""The hierarchy of keys: a root, what derives from it, the chain that says which of it counts; envelopes.

Usable offline, without a network. Nothing is imported here, because most programs need little of it:

- ``paths``: :class:`Place` (a stable name, ``/3/1``), :class:`Path` (a branch, ``/3.0/1.2``)
- ``derivation``: :class:`RootSeed` -> :class:`BranchSecret` -> :class:`EpochSecret` -> keys to sign, to
  decrypt and to store with; ``secret_forms``: their bytes; ``transient``: the keys that no parent derives
- ``genesis``, ``bodies``, ``statements``: what is said about keys, and how it is written
- ``chain``: :class:`Chain`, the log: add, merge, heads, missing_since; ``bundles``: its bytes on their way
- ``author``: :class:`Author` makes the statements of a branch: delegate, rekey, revoke, recover, leave
- ``standing``: :class:`Standing`: who is who now, what a key is worth, who can do what
- ``way_back``: what a node does that slept; ``recovery``: what the root alone gives back, and its rehearsal
- ``orders``: a parent orders a rekeying; ``transition``: a cluster goes on under another root
- ``forks``: signs that a key is in two hands; ``audit``: what only a parent can check
- ``envelope``: files and streams sealed to keys

How they work together: ``verification`` says whether a statement belongs into a chain, ``registers`` add up
what was said, ``verdicts`` say who prevails, ``room`` how much fits. Begin with docs/adr/0050-self-rekey.md.
"""
