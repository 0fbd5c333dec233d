"""How the commands about clusters show what is known: nodes, trust, and the log.

Trust:    labels come from other people's chains; they are shown escaped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kontinuum.cli.output import columns, fields, printable

if TYPE_CHECKING:
    from datetime import datetime

    from kontinuum.cli.clusters import Work
    from kontinuum.clusters.book import Book
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.registers import Birth
    from kontinuum.keys.statements import Statement


def show_json(work: Work, book: Book, chain: Chain, live: dict[str, Any] | None) -> dict[str, Any]:
    """Everything that ``cluster show`` tells, for programs.

    Args:
        work: The data directory.
        book: What it knows.
        chain: Our own one.
        live: What the running node says; None without one.
    """
    from kontinuum.keys.standing import Standing

    home = work.store.home()
    epoch = work.store.keys.declared(chain)
    way = work.store.way(book)
    standing = Standing(chain)
    sessions = None if live is None else live["sessions"]
    connected = {each["key"] for each in sessions or []}
    members = [
        {
            "name": str(each.place),
            "place": str(each.place),
            "label": each.label,
            "key": None if each.signing is None else str(each.signing),
            "living": each.verdict.living,
            "verdict": str(each.verdict.status),
            "connected": None if sessions is None else str(each.signing) in connected,
        }
        for each in standing.places()
    ]
    trusted = [
        {
            "name": each.name,
            "cluster": each.cluster.hex(),
            "since": _time(each.since),
            "how": each.how,
            "by": str(each.by),
            "successor": None if each.successor is None else each.successor.hex(),
            "disputed": each.disputed,
            "members": [
                {
                    "name": member.text,
                    "place": str(member.place),
                    "label": member.label,
                    "key": str(member.key),
                }
                for member in book.members(each.cluster)
            ],
        }
        for each in book.trusted()
    ]
    own = standing.of_place(home.path.place)
    return {
        "cluster": chain.cluster.hex(),
        "place": str(home.path.place),
        "path": str(home.path),
        "epoch": epoch,
        "label": own.label,
        "key": None if epoch is None else str(_key(chain, home.path, epoch)),
        "way": way.way.name.lower(),
        "branch_here": work.store.keys.has_branch(),
        "running": work.running,
        "members": members,
        "trusted": trusted,
        "sessions": sessions or [],
        "cut_off_by": [] if live is None else live["cut_off_by"],
    }


def show_text(data: dict[str, Any]) -> str:
    """The same, for people."""
    head = fields(
        {
            "cluster": data["cluster"],
            "this node": f"{data['place']} {data['label']}".rstrip(),
            "key": data["key"] or "none that the chain declares",
            "branch and epoch": f"{data['path']} @ {data['epoch']}",
            "to do": _to_do(data),
        }
    )
    rows = [
        [
            each["place"],
            each["label"],
            (each["key"] or "-")[:16],
            each["verdict"],
            {None: "", True: "connected", False: "-"}[each["connected"]],
        ]
        for each in data["members"]
    ]
    text = f"{head}\n\n{columns(rows, ['node', 'label', 'key', 'its key', ''])}"
    if data["trusted"]:
        trusted = [
            [
                each["name"],
                each["cluster"][:16],
                str(len(each["members"])),
                each["how"],
                each["by"],
                each["since"][:16].replace("T", " "),
                _left(each, data["cluster"]),
            ]
            for each in data["trusted"]
        ]
        header = ["we trust", "cluster", "nodes", "how", "by", "since (UTC)", ""]
        text += f"\n\n{columns(trusted, header)}"
    return text


def log_json(chain: Chain, name: str, problems: list[str] | None) -> dict[str, Any]:
    """Everything that was said, the oldest first."""
    position = {statement.id: at for at, statement in enumerate(chain)}
    ordered = sorted(chain, key=lambda each: (each.issued_at, position[each.id]))
    return {
        "cluster": chain.cluster.hex(),
        "name": name,
        "statements": [_statement_json(chain, each) for each in ordered],
        "verified": None if problems is None else not problems,
        "problems": problems or [],
    }


def log_text(data: dict[str, Any]) -> str:
    """The same, for people."""
    rows = [
        [
            each["issued_at"][:19].replace("T", " "),
            f"{each['by']} {each['by_label']}".rstrip(),
            each["said"],
            each["verdict"] or "",
        ]
        for each in data["statements"]
    ]
    text = columns(rows, ["when (UTC)", "who", "said", "now"])
    if data["verified"] is not None:
        text += "\n\nevery statement follows from the root" if data["verified"] else ""
    return "\n".join([text, *map(printable, data["problems"])])


def problems_of(chain: Chain) -> list[str]:
    """What speaks against a chain: what does not verify anew, and signs that a key is in two hands."""
    from kontinuum.keys.chain import Chain as NewChain
    from kontinuum.keys.forks import find_forks

    again = NewChain(chain.genesis)
    merged = again.merge(chain)
    problems = [f"statement {each.id.hex()[:12]}: {error}" for each, error in merged.refused]
    if merged.missing:
        problems.append(f"{len(merged.missing)} statements are missing")
    problems += [f"{fork.path}: {fork.kind}" for fork in find_forks(chain)]
    return problems


def _statement_json(chain: Chain, statement: Statement) -> dict[str, Any]:
    issuer = chain.registers.birth(statement.issuer)
    kind, said, about, verdict = _said(chain, statement, issuer)
    return {
        "id": statement.id.hex(),
        "issued_at": _time(statement.issued_at),
        "by": "?" if issuer is None else str(issuer.path),
        "by_label": "" if issuer is None else issuer.label if issuer.path.steps else "the root",
        "kind": kind,
        "about": about,
        "said": said,
        "verdict": verdict,
    }


def _said(
    chain: Chain, statement: Statement, issuer: Birth | None
) -> tuple[str, str, str | None, str | None]:
    """The kind of a statement, what it says in words, which path it is about, what that is worth now."""
    from kontinuum.keys.bodies import Checkpoint, Delegate, Recover, Rekey, Revoke, Transition
    from kontinuum.keys.verdicts import branch_verdict, epoch_verdict

    registers = chain.registers
    path = None if issuer is None else issuer.path
    match statement.body:
        case Delegate() | Recover() as body:
            born = registers.birth(statement.id)
            place = "?" if born is None else str(born.path)
            worth = None if born is None else str(branch_verdict(registers, born.path).status)
            if isinstance(body, Recover):
                return "recover", f"{place} takes the place of what was there before", place, worth
            return "delegate", f"{place} is a node of ours: {body.label or 'without a label'}", place, worth
        case Rekey(epoch=epoch, signing=signing):
            worth = None if path is None else str(epoch_verdict(registers, path, epoch).status)
            return "rekey", f"my key number {epoch} is {signing.short}...", str(path), worth
        case Revoke(target=target, scope=scope, reason=reason):
            what = {0: "its keys until now", 1: "its branch", 2: "its place, for good"}[int(scope)]
            return "revoke", f"{target} is out of use: {what}{_reason(reason)}", str(target), None
        case Checkpoint(heads=heads):
            said = ("checkpoint", f"I have seen {len(heads)} strands")
        case Transition(cluster=cluster):
            said = ("transition", f"this cluster goes on as {cluster.hex()[:16]}...")
        case _:
            said = ("unknown", "something that a newer program understands")
    return *said, None, None


def _reason(number: int) -> str:
    from kontinuum.keys.bodies import Reason

    try:
        reason = Reason(number)
    except ValueError:
        return ""
    return "" if reason is Reason.UNSPECIFIED else f" ({reason.name.lower()})"


def _key(chain: Chain, path: Any, epoch: int) -> Any:
    return chain.registers.epochs(path)[epoch][0].body.signing


def _left(trusted: dict[str, Any], own: str) -> str:
    if trusted["disputed"]:
        return "its root is in two hands: meet its owner again"
    if trusted["successor"] == own:
        return "what we were under the root before"
    if trusted["successor"] is not None:
        return f"has another root: kontinuum cluster follow {trusted['name']}"
    return ""


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


CUT_OFF = "other nodes of the cluster cut this node off: {}. They may have heard that its key is out of use"
"""Said of a node that does not know itself that it was revoked, or that somebody pretends it was."""


def _to_do(data: dict[str, Any]) -> str:
    if data["way"] == "none" and data["cut_off_by"]:
        return f"ask who keeps the root: {CUT_OFF.format(', '.join(data['cut_off_by']))}"
    return _WAYS[data["way"]]


_WAYS = {
    "none": "nothing",
    "ask_peers": "run the node: it lacks statements that others have",
    "move_on": "kontinuum cluster rekey: its newest key is not here, and is made again from its branch",
    "rekey": "kontinuum cluster rekey: the key is out of use, and this node makes the next one itself",
    "ask_ancestor": "its branch is out of use: kontinuum cluster recover, where a parent's key is",
    "start_anew": "this place was removed for good: add the machine as a new node",
    "follow_root": "the root left for another: join with the handover from there",
}
