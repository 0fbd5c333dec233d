"""The sending side: its machine, its source files, its shell."""
