"""The receiving side: its machine, its policy, its target directory, its shell."""
