"""Handlers that tests register."""


async def echo(_peer, data):
    """What comes goes back."""
    return data
