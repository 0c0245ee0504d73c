"""`eco2 completion SHELL`: what a shell needs to complete commands, options and names."""

import argparse
import sys
from collections.abc import Callable, Iterable
from itertools import chain, pairwise
from pathlib import Path

from emulator.commands.common import one_line
from emulator.recording import folder as recordings
from emulator.state import snapshots
from emulator.state.folder import State, default_state
from runtime.completion import candidates
from runtime.loader import discover
from runtime.services import readable

EXAMPLES = """\
eco2 completion bash  # for ~/.bashrc: eval "$(eco2 completion bash)"
eco2 completion zsh  # for ~/.zshrc, after compinit: eval "$(eco2 completion zsh)"
eco2 completion fish  # eco2 completion fish > ~/.config/fish/completions/eco2.fish
"""
# Each asks `eco2 completion words`, so that what is offered is what this version's parsers take, and what is there now.
# A file's name is offered where none of our words begins so.
SCRIPTS = {
    "bash": """\
_eco2() {
    local IFS=$'\\n'
    COMPREPLY=($(eco2 completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -o bashdefault -F _eco2 eco2
""",
    "zsh": """\
_eco2() {
    local -a found
    found=("${(@f)$(eco2 completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then compadd -- "${found[@]}"; else _files; fi
}
compdef _eco2 eco2
""",
    "fish": """\
function __eco2
    set -l before (commandline -opc)
    eco2 completion words -- $before[2..] (commandline -ct) 2>/dev/null
end
complete -c eco2 -a '(__eco2)'
""",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print a script that has the shell complete commands, options, and the names of parts, services, functions, snapshots "
        "and recordings. `words` is what the script asks: the words that may stand in the place of the last one."
    )
    parser.add_argument("shell", choices=[*SCRIPTS, "words"], help="whose script; `words` prints candidates")
    parser.add_argument("line", nargs=argparse.REMAINDER, metavar="...", help="for `words`: -- and the line so far")


@one_line
def main(args: argparse.Namespace) -> int:
    if args.shell != "words":
        sys.stdout.write(SCRIPTS[args.shell])
        return 0
    line = args.line[1:] if args.line[:1] == ["--"] else args.line
    print("\n".join(candidates(line, names(_state(line)))))
    return 0


def _state(line: list[str]) -> State:
    """The state that the line itself names, or the checkout's."""
    given = dict(pairwise(line))
    if "--state" in given:
        return State(Path(given["--state"]))
    return State(default_state(name=given.get("--name")))


def names(state: State) -> dict[str, Callable[[], Iterable[str]]]:
    """What there is in a checkout and on a state, by what the manual pages call it."""

    def parts() -> list[str]:
        about = state.read_json("emulator.json", dict[str, object]) or {}
        found = about.get("parts")
        return [str(part["name"]) for part in found] if isinstance(found, list) else []

    def functions() -> list[str]:
        services = readable().values()
        return [f"{service.folder}/{function.name}" for service in services for function in discover(service)]

    return {
        "PART": parts,
        "SERVICE": lambda: readable(),
        "SERVICE/FUNCTION": functions,
        "SERVICE/NAME": functions,
        "SERVICE[/FUNCTION]": lambda: chain(readable(), functions()),
        "SERVICE[/FUNCTION]=N": lambda: (f"{name}=" for name in (s.name for s in readable().values())),
        "SNAPSHOT": lambda: (str(one["name"]) for one in snapshots.every(state)),
        "RECORDING": lambda: (str(one["name"]) for one in recordings.every(state)),
    }
