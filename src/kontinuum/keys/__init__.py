"""The hierarchy of keys: a root and what is derived from it, the chain that says which of them counts, envelopes, backups.

Pure but for the key store: usable offline, without a network.
"""
