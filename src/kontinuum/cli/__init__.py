"""The command line ``kontinuum``: nouns and verbs for people, ``--json`` and exit codes for programs.

``main`` reads the arguments, ``commands`` has one file per noun, ``output`` writes results and errors,
``session`` talks to a running node or starts one for the moment, ``up`` runs a whole network of processes.
Everything slow to import (pydantic, rich, the node) is imported where it is used, so that
``kontinuum --help`` answers at once.
"""
