"""Files that are offered in a chat."""

import asyncio
from types import SimpleNamespace

import pytest

from kontinuum.cli.chat import files
from kontinuum.cli.chat.files import ChatFiles
from kontinuum.cli.chat.lines import LineError
from kontinuum.cli.chat.people import People
from kontinuum.identity import KeyPair
from kontinuum.transfer.incoming.policy import Accept, Refuse

ME, ALICE, BOB = (KeyPair.from_seed(bytes([seed]) * 32).peer_id for seed in range(3))
OFFER = SimpleNamespace(files=[SimpleNamespace(name="a.txt", size=3)])


class QuietNode:
    """A node that meets nobody."""

    def stream_handler(self, *_names, **_options):
        """Take any."""
        return lambda function: function


class Chat:
    """Somebody to whom files are offered."""

    def __init__(self, directory):
        self.shown = []
        self.people = People(ME, "me")
        self.alice, self.bob = self.people.hear(ALICE, "alice"), self.people.hear(BOB, "bob")
        self.files = ChatFiles(QuietNode(), self.people, self.shown.append, directory)

    async def offer(self, *people):
        """Each offers a file; returns what will be decided."""
        tasks = [asyncio.create_task(self.files._decide(each.peer_id, OFFER)) for each in people]
        await asyncio.sleep(0)
        return tasks


async def test_while_several_wait_a_name_is_needed(tmp_path):
    """
    Whoever offers a moment before the answer must not get the answer that was meant for another.
    """
    chat = Chat(tmp_path)
    first, second = await chat.offer(chat.alice, chat.bob)
    for yes in (True, False):
        with pytest.raises(LineError, match=f"{chat.alice.name}, {chat.bob.name}"):
            chat.files.answer(None, yes=yes)

    chat.files.answer(chat.alice, yes=False)
    assert isinstance(await first, Refuse)
    chat.files.answer(None, yes=False)
    assert isinstance(await second, Refuse)
    with pytest.raises(LineError, match="nobody offers"):
        chat.files.answer(None, yes=True)


async def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    """
    The offer is refused, and the person is told why.
    """
    (tmp_path / "taken").write_text("a file")
    chat = Chat(tmp_path / "taken")
    (decided,) = await chat.offer(chat.alice)
    chat.files.answer(None, yes=True)

    assert isinstance(await decided, Refuse)
    assert "no file can be stored" in chat.shown[-1].text
    assert "taken" in chat.shown[-1].text


async def test_two_files_that_are_accepted_at_once_share_one_target(tmp_path, monkeypatch):
    """
    A second one would not know which names the first has given away.
    """
    made = []

    def target(*_arguments):
        made.append(object())
        return made[-1]

    monkeypatch.setattr(files, "Target", target)
    chat = Chat(tmp_path / "new")
    decided = await chat.offer(chat.alice, chat.bob)
    for person in (chat.alice, chat.bob):
        chat.files.answer(person, yes=True)

    assert all(isinstance(each, Accept) for each in await asyncio.gather(*decided))
    assert len(made) == 1
