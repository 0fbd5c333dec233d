"""Attackers of simulations: groups of hosts that know everything and keep no rule.

``group`` is what all of them share, ``groups`` the behaviours, ``grinding`` how ids come to lie where they
are wanted.
"""
