"""Who can be dialled by whom.

Source:  RFC 4787 (behaviour of NATs); Henningsen et al., "Mapping the Interplanetary Filesystem", IFIP
         Networking 2020: at least 52 % of the nodes of IPFS are behind a NAT and cannot be reached; Trautwein
         et al., SIGCOMM 2022, section 5.1: 45.5 % never could be.
Differs: introductions and hole punching are not modelled: a host behind a restricted NAT is reached over
         connections that it opened, and over no other.
Pure:    no I/O, clock or randomness.
"""

from enum import IntEnum


class Nat(IntEnum):
    """What stands between a host and the internet."""

    PUBLIC = 0
    """Nothing: everybody can dial it."""
    FULL_CONE = 1
    """A mapping that everybody can use once it is there, and a node always has one."""
    RESTRICTED = 2
    """Only whom it has sent to may answer."""
    SYMMETRIC = 3
    """As RESTRICTED, and from another port for each peer."""

    @property
    def dialable(self) -> bool:
        """Strangers can reach it."""
        return self <= Nat.FULL_CONE
