"""Ways to write a root down and to read it back: words, shares, a file, a sheet of paper.

Nothing is imported here, because the word lists take time to load:

- ``roots``: what is written down: a :class:`RootSeed`, or a :class:`ShortSeed` of twelve words
- ``words``: BIP39's 12 or 24 words; mistyped ones are named, with what was probably meant
- ``shares``: SLIP-39: several people hold a share each, and enough of them give the root back
- ``file``: an age file that a passphrase opens, with ``age`` as well
- ``sheet``: a page to print, with a QR code; ``sheet_svg``, ``sheet_pdf``: as a file
- ``reading``: whatever a person brings, whichever of these it is; and the rehearsal

Read docs/protocols/backup.md first; docs/runbooks/backup.md is for people.
"""
