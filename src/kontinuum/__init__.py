"""Kontinuum: a network that its members own."""
