"""What all commands of one run share: where it writes to. Set by ``main`` before a command begins."""

from kontinuum.cli.output import Output

output = Output()
"""The output of this run."""
