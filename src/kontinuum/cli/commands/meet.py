"""``kontinuum meet``: two people let their clusters meet, face to face."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import DirOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kontinuum.cli.meeting_talk import Decision

app = typer.Typer(
    help="Meet another cluster in person: one shows a code, the other takes it, both compare four words.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NameOption = Annotated[
    str | None,
    typer.Option(
        "--name", help="What they are called here: a-z, 0-9 and -. Default: as they call themselves."
    ),
]
AsOption = Annotated[
    str | None, typer.Option("--as", help="What you call yourself. Default: the label of this node.")
]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Trust whoever comes, without comparing words: the first with the code.")
]
WordsOption = Annotated[
    Path | None,
    typer.Option(
        "--words-from",
        metavar="FILE",
        help="Trust if this file or pipe (- is standard input) has the same words; read when they are known.",
        show_default=False,
    ),
]


@app.command("show")
def show(
    *,
    name: NameOption = None,
    own_name: AsOption = None,
    png: Annotated[Path | None, typer.Option("--png", metavar="FILE", help="The code as a picture.")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="The code as SVG.")] = None,
    page: Annotated[
        Path | None,
        typer.Option("--page", metavar="FILE", help="The code as a page, for a phone or projector."),
    ] = None,
    no_qr: Annotated[bool, typer.Option("--no-qr", help="Only the text.")] = False,
    yes: YesOption = False,
    words_from: WordsOption = None,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Show a code, wait for the other side, and ask whether to trust it.

    The code is good for ten minutes and for one meeting; Ctrl-C makes it worthless. Files with it are taken
    away at the end.
    """
    from kontinuum.cli.meeting_code import draw, pictures, verify_free
    from kontinuum.cli.meeting_talk import Decision

    decision = Decision(yes=yes, words_from=words_from)
    _verify_name(name)
    files = {kind: path for kind, path in {"png": png, "svg": svg, "page": page}.items() if path is not None}
    verify_free(files)
    with pictures() as made:

        def on_code(event: dict[str, Any]) -> None:
            made.write(event, files)
            if not state.output.json and not no_qr:
                draw(event["code"])
            state.output.event(event, event["code"])
            state.output.note(
                "\nOn the other side: kontinuum meet join -, and this text; blanks and case do not matter."
                "\nWaiting for ten minutes at most; Ctrl-C ends it."
            )

        peer = _meet(directory, "meet.invite", _as(own_name), on_code)
    _decide(directory, peer, name, decision)


@app.command("join")
def join(
    *,
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="[CODE|-]",
            help="The code's text; - reads it from standard input. Without it you are asked.",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        Path | None, typer.Option("--image", metavar="FILE", help="A picture of the code.")
    ] = None,
    camera: Annotated[bool, typer.Option("--camera", help="Look for the code with the camera.")] = False,
    name: NameOption = None,
    own_name: AsOption = None,
    yes: YesOption = False,
    words_from: WordsOption = None,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Take the code that the other side shows, go there, and ask whether to trust it.

    The code is a secret until it is used: - keeps it out of the list of processes and your shell's history.
    """
    from kontinuum.cli.meeting_talk import Decision
    from kontinuum.clusters.meeting.code import MeetCode

    decision = Decision(yes=yes, words_from=words_from)
    _verify_name(name)
    if sum((code is not None, image is not None, camera)) > 1:
        raise CliError(
            "the code comes from one place: CODE, --image or --camera", family=Exit.MISUSE, code="usage"
        )
    text = _code_from(code, image, camera=camera)
    MeetCode.parse(text)  # A slip is told before a node is asked.
    peer = _meet(directory, "meet.accept", {"code": text, **_as(own_name)})
    _decide(directory, peer, name, decision)


def _code_from(code: str | None, image: Path | None, *, camera: bool) -> str:
    from kontinuum.cli.meeting_camera import read_camera, read_image
    from kontinuum.cli.meeting_talk import can_ask

    if image is not None:
        return read_image(image)
    if camera:
        return read_camera()
    if code == "-":
        return _typed()
    if code is not None:
        return code
    if not can_ask():
        raise CliError(
            "which code?",
            family=Exit.MISUSE,
            code="usage",
            hint="pipe it in: kontinuum meet join -, or use --image FILE",
        )
    state.output.note("The text of the code, which may take several lines:")
    return _typed()


def _typed() -> str:
    """Lines of standard input until they are a code; what is behind it stays for the words."""
    from kontinuum.base.errors import PeerError
    from kontinuum.clusters.meeting.code import TYPED_CHARS_MAX, MeetCode

    text = ""
    while len(text) <= TYPED_CHARS_MAX and (line := sys.stdin.readline(TYPED_CHARS_MAX + 1)):
        text += line
        try:
            MeetCode.parse(text)
        except PeerError:
            if not line.strip():
                break  # An empty line: somebody is done, and wants to hear what is wrong.
            continue
        break
    return text


def _meet(
    directory: Path | None,
    method: str,
    params: dict[str, Any],
    on_code: "Callable[[dict[str, Any]], None] | None" = None,
) -> dict[str, Any]:
    """Do our side of the exchange; returns whom we met."""
    from kontinuum.cli.session import run, running_node

    met: dict[str, Any] = {}

    def on_event(event: "Mapping[str, Any]") -> None:
        if event["type"] == "peer":
            met.update(event)
        elif on_code is not None:
            on_code(dict(event))

    async def work() -> None:
        async with running_node(directory) as session:
            await session.ask(method, params, on_event)

    run(work())
    return met


def _decide(directory: Path | None, peer: dict[str, Any], name: str | None, decision: "Decision") -> None:
    """Show whom we met, and trust it or not."""
    from kontinuum.cli.meeting_talk import show_peer, words_of
    from kontinuum.cli.output import fields

    words = words_of(peer)
    called = name or peer["known_as"] or peer["suggested_name"]
    trusted = False
    try:
        show_peer(peer, called, words)
        trusted = decision.trusts(words)
    finally:
        if not trusted:
            _ask(directory, "meet.cancel", {"meeting": peer["meeting"]})
    if not trusted:
        raise CliError(
            "you did not trust it; nothing was changed on this side",
            family=Exit.FAILURE,
            code="declined",
        )
    result = _ask(directory, "meet.confirm", {"meeting": peer["meeting"], "name": called})
    state.output.event(
        {"type": "trusted", **result},
        fields({"trusted": result["name"], "cluster": result["cluster"], "first node": f"{result['name']}:"}),
    )


def _ask(directory: Path | None, method: str, params: dict[str, Any]) -> dict[str, Any]:
    from kontinuum.cli.session import run, running_node

    async def work() -> dict[str, Any]:
        async with running_node(directory) as session:
            return await session.ask(method, params)

    return run(work())


def _as(own_name: str | None) -> dict[str, Any]:
    return {} if not own_name else {"name": own_name}


def _verify_name(name: str | None) -> None:
    """Raise a BadNameError before anybody meets."""
    from kontinuum.clusters.names import checked_name

    if name is not None:
        checked_name(name)
