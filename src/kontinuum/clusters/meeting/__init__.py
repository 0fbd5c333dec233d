"""Two clusters meet in person: one side shows a code, the other answers to it, people compare words.

- ``code``: :class:`MeetCode`, the text that a screen shows
- ``machine``: :class:`Host` and :class:`Guest`, the two sides; ``messages``: what they send
- ``introductions``: :class:`Ourselves`, what a side shows; :class:`Met`, what it makes of the other's
- ``words``: MACs and the numbers of the words

The shell is ``kontinuum.node.meeting``. Begin with docs/protocols/meet.md.
"""
