"""What all parts of a run of topics call the same."""

TOPIC = "simulation"
"""The topic that everybody is in."""
