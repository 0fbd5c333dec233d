"""A chat from its beginning to its end: a node, a conversation on it, and one of the two faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.cli import state
from kontinuum.cli.chat.conversation import Conversation
from kontinuum.cli.chat.verified import VerifiedKeys
from kontinuum.cli.progress import MiningBar
from kontinuum.node import logs
from kontinuum.node.node import Node

if TYPE_CHECKING:
    from pathlib import Path

    from kontinuum.cli.chat.screen import ChatScreen
    from kontinuum.node.config import NodeConfig


async def run_chat(
    config: NodeConfig, nick: str, rooms: list[str], downloads: Path, *, full_screen: bool
) -> None:
    """Run a node of its own, and the chat on it, until the person leaves.

    Args:
        config: Of the node.
        nick: What to be called.
        rooms: To enter at first, at least one.
        downloads: Where accepted files go.
        full_screen: Whether to draw on the whole terminal.
    """
    logs.configure(level="error", log_format=config.log_format)  # More would be written between the words.
    keys = VerifiedKeys(config.data_dir)
    verified = keys.load()
    with MiningBar(state.output) as bar:
        node = Node(config, on_mining=bar.update)
        await node.__aenter__()
    try:
        contact = node.contact.to_text()
        screen = (
            _screen(f"others come by: kontinuum chat --room {rooms[0]} --bootstrap {contact}")
            if full_screen
            else None
        )
        if screen is None:
            from kontinuum.cli.chat.plain import show_plain as show
        else:
            show = screen.show
        conversation = Conversation(
            node, nick, show=show, downloads=downloads, verified=verified, remember=keys.save
        )
        try:
            if screen is not None:
                screen.conversation = conversation
                await conversation.start(rooms)
                await screen.run_async()
            else:
                from kontinuum.cli.chat.plain import run_plain

                state.output.event({"type": "ready", "peer_id": str(node.peer_id), "contact": contact})
                state.output.note(f"* others come by: kontinuum chat --room {rooms[0]} --bootstrap {contact}")
                await conversation.start(rooms)
                await run_plain(conversation)
        finally:
            await conversation.close()
    finally:
        await node.close()


def _screen(hint: str) -> ChatScreen:
    from kontinuum.cli.chat.screen import ChatScreen

    return ChatScreen(hint)
