"""`eco2 mail`: what the system has written to people, from the one mailbox that takes every letter."""

import argparse
import json

from emulator.commands.common import add_state, one_line, state_of
from emulator.outside.mailbox import Letter, Mailbox
from emulator.process import CalledWrongly

EXAMPLES = """\
eco2 mail  # the newest letter
eco2 mail --to kim@example.com -n 3  # the newest three to one address
eco2 mail --json  # all of them, for a program
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print the letters that the system has sent on this machine, newest first. They lie in the state folder; "
        "running or not, it need not be up."
    )
    parser.add_argument("--to", default="", metavar="ADDRESS", help="only those for this address")
    parser.add_argument("-n", "--number", type=int, default=1, metavar="N", help="so many (default: 1)")
    parser.add_argument("--json", action="store_true", help="all of them as a JSON array")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    if args.number < 1:
        raise CalledWrongly("-n takes 1 or more")
    letters = Mailbox(state_of(args).path / "mail").letters(args.to)
    if args.json:
        found = [
            {
                "id": letter.id,
                "received_at": letter.received_at.isoformat(),
                "sender": letter.sender,
                "to": letter.to,
                "subject": letter.subject,
                "text": letter.text,
            }
            for letter in letters
        ]
        print(json.dumps(found, ensure_ascii=False))
        return 0
    if not letters:
        print(f"no letters{f' to {args.to}' if args.to else ''} yet")
    print("\n\n".join(_shown(letter) for letter in letters[: args.number]))
    return 0


def _shown(letter: Letter) -> str:
    head = f"To: {', '.join(letter.to)}\nDate: {letter.received_at:%Y-%m-%d %H:%M:%S} UTC\nSubject: {letter.subject}"
    return f"{head}\n\n{letter.text.strip()}"
