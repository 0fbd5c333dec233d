"""What a simulation found, for people: figures with their meaning, plots, and a page in one file."""
