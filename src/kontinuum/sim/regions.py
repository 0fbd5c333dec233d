"""Where hosts are: regions, the round trips between them, and how many hosts each has.

Source:  round trips: IBM Cloud, "Network latency dashboards", table "Inter-region latency", 8 November to
         7 December 2025 (github.com/ibm-cloud-docs/vpc, _include-segments/network-latency.md): means of 30
         days between data centres, not medians, and so some above what most packets take; each pair was
         measured from both sides, we take the mean of the two.
         Shares: Trautwein et al., "Design and Evaluation of IPFS", SIGCOMM 2022, section 5.1: peers by
         country (United States 28.5 %, China 24.2 %, France 8.3 %, Taiwan 7.2 %, South Korea 6.7 %, others).
         The shares are from a summary of that paper and were not checked against its text.
Differs: countries are counted to the nearest region that was measured, China, Taiwan and Korea to Osaka and
         Tokyo.
Pure:    no I/O, clock or randomness.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the world."""

    name: str
    share: float
    """Of the hosts, in percent."""


REGIONS = (
    Region("dallas", 10),
    Region("toronto", 2),
    Region("washington", 19),
    Region("frankfurt", 11),
    Region("london", 5),
    Region("madrid", 9),
    Region("montreal", 2),
    Region("chennai", 3),
    Region("osaka", 19),
    Region("sydney", 1),
    Region("tokyo", 18),
    Region("sao-paulo", 1),
)
"""The regions of the matrix, in its order."""

RTT_WITHIN_MS = 2.0
"""Round trip inside a region: between its data centres 1.4 to 2.2 ms (same source, "Inter-AZ latency")."""

_ROWS = """
   .  33  31 122 112 116  42 246 150 184 141 142
  33   .  19  92  82 104  11 222 142 212 134 127
  31  19   .  88  76  87  16 242 147 213 139 118
 122  93  88   .  13  29  89 143 236 249 225 194
 112  82  76  13   .  27  79 143 248 261 238 183
 117 104  85  29  27   . 102 150 262 275 251 206
  42  11  16  89  79 103   . 219 151 220 143 124
 249 223 237 140 141 155 221   . 112 125 101 356
 150 142 147 236 248 263 150 112   . 122   9 289
 183 215 214 249 260 275 224 125 122   . 115 326
 142 134 139 225 237 251 143 100   9 115   . 282
 142 128 119 194 184 206 123 357 289 324 282   .
"""


def _matrix() -> tuple[tuple[float, ...], ...]:
    rows = [
        [RTT_WITHIN_MS if cell == "." else float(cell) for cell in row.split()]
        for row in _ROWS.strip().splitlines()
    ]
    size = range(len(rows))
    return tuple(tuple((rows[i][j] + rows[j][i]) / 2 for j in size) for i in size)


RTT_MS = _matrix()
"""Milliseconds of round trip between the regions of :data:`REGIONS`, by their places in it."""
