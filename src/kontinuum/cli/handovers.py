"""Handovers as files: read, and opened by whatever opens them.

Bounds:   HANDOVER_BYTES_MAX.
Trust:    a handover is outside input; see ``kontinuum.clusters.handover``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.cli.clusters import HANDOVER_OPTION, HANDOVER_PROMPT
from kontinuum.cli.errors import CliError, Exit

if TYPE_CHECKING:
    from pathlib import Path

    from kontinuum.cli.clusters import Work
    from kontinuum.clusters.handover import Handover

KEY_FILE_BYTES_MAX = 64 * 1024
"""Bytes of a file of age keys. Our choice. Longer: FileTooLargeError."""


def open_file(work: Work, file: Path, key: Path | None, source: str) -> Handover:
    """The handover in a file.

    Args:
        work: Where passphrases are asked for.
        file: It.
        key: A file of age keys that may open it.
        source: Of its passphrase, if it has one and no key opens it.

    Raises:
        HandoverError, PassphraseNeededError, WrongPassphraseError: It cannot be used, or does not open.
        NotPrivateError, FileUnavailableError: A file cannot be read.
    """
    from kontinuum.base.files import read_private
    from kontinuum.clusters.handover import HANDOVER_BYTES_MAX, needs_key, open_handover
    from kontinuum.keys.envelope import parse_key_file

    data = read_private(file, HANDOVER_BYTES_MAX)
    if not needs_key(data):
        return open_handover(data)
    if key is not None:
        return open_handover(data, keys=parse_key_file(read_private(key, KEY_FILE_BYTES_MAX)))
    return open_handover(data, passphrase=work.passphrases.ask(source, HANDOVER_PROMPT, HANDOVER_OPTION))


def verify_follows(work: Work, given: Handover) -> None:
    """Check that a handover is for the node that a data directory already is: new keys for the same place.

    What proves that its root followed the one before is kept, so that the old keys are known for what they
    are.

    Raises:
        CliError: It is for another place, or for a cluster that does not follow ours.
    """
    from kontinuum.base.errors import KontinuumError
    from kontinuum.clusters.new_root import follow_root
    from kontinuum.keys.verdicts import branch_verdict

    book, own = work.own()
    place = given.branch.path.place
    hint = "choose another directory with --dir; only new keys for the same place replace those that are here"
    if place == book.place and given.chain.cluster == own.cluster:
        together = own.copy()
        together.merge(given.chain)
        verdict = branch_verdict(together.registers, given.branch.path)
        if not verdict.living:
            raise CliError(
                f"the keys in this handover are out of use already: {verdict.path} {verdict.status}",
                family=Exit.MISUSE,
                code="not_living",
                hint="let the parent give new ones: kontinuum cluster recover",
            )
        return
    if place == book.place and given.succession:
        try:
            added = follow_root(own.copy(), given.succession, given.chain)
        except KontinuumError as error:
            hint = str(error)
        else:
            work.store.append(own.cluster, added)
            return
    raise CliError(
        f"this data directory is {book.place} of cluster {own.cluster.hex()[:8]}",
        family=Exit.MISUSE,
        code="already_in_cluster",
        hint=hint,
    )
