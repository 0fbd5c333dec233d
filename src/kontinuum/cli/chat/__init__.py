"""``kontinuum chat``: rooms, direct messages and files among people who know each other by their keys.

``lines`` reads what a person types, ``wire`` what travels, ``people`` who is who, ``safe`` what may be shown.
``conversation`` joins them with a node; ``plain`` and ``screen`` are its two faces.
"""
