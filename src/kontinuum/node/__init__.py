"""The facade: settings, the data directory, and what joins the rooms into one running node.

Read :mod:`kontinuum.node.config` (what can be set), :mod:`kontinuum.node.data_dir` (what is kept),
:mod:`kontinuum.node.control` (how a running node is asked), then the node itself.
"""
