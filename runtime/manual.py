"""A command's `--help` as a manual page: name, synopsis, description, options, examples, exit codes. And one-line errors."""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Mapping
from typing import Any, NoReturn

from runtime.services import suggestion

EXIT_CODES = {
    0: "done",
    1: "failed: one line on standard error says why",
    2: "called wrongly, or not configured",
    130: "interrupted (Ctrl-C)",
}


class Manual(argparse.ArgumentParser):
    """A parser whose help is a manual page.

    `examples` are lines `eco2 ...  # what it does`; a sub-command shows those that begin with its own name.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"add_help": False, "allow_abbrev": False})
        # `-5m` is a value, and no misspelled option: who takes it says why it can't be.
        self._negative_number_matcher = re.compile(r"-\d")
        self.summary = ""
        self.examples = ""
        self.exit_codes: Mapping[int, str] = EXIT_CODES
        self.add_argument("-h", "--help", action="help", help="show this page")

    def fill(self, summary: str, examples: str, exit_codes: Mapping[int, str]) -> None:
        """Give the page its own words, and the pages of sub-commands, whose one-line help is their summary, theirs."""
        self.summary, self.examples, self.exit_codes = summary, examples, exit_codes
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for one in action._choices_actions:
                    action.choices[one.dest].fill(one.help or "", examples, exit_codes)

    def error(self, message: str) -> NoReturn:
        """One line, with the near name where an option is misspelled, and exit code 2."""
        if unknown := re.match(r"unrecognized arguments: (--[\w-]+)", message):
            near = suggestion(unknown[1], self._option_string_actions)
            message += near if "did you mean" in near else ""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, f"there is no {value}{suggestion(str(value), action.choices)}")

    def format_help(self) -> str:
        """The page, as wide as the terminal and never wider than 100 columns."""
        width = min(shutil.get_terminal_size().columns, 100)
        formatter = argparse.HelpFormatter(self.prog, max_help_position=30, width=width - 4)
        formatter.add_usage(None, self._actions, self._mutually_exclusive_groups, prefix="")
        sections = [
            ("NAME", f"{self.prog} - {self.summary}" if self.summary else self.prog),
            ("SYNOPSIS", formatter.format_help().strip("\n")),
            ("DESCRIPTION", _paragraphs(self.description or "", width - 4)),
        ]
        for title, actions in (("ARGUMENTS", self._positionals), ("OPTIONS", self._optionals)):
            formatter = argparse.HelpFormatter(self.prog, max_help_position=30, width=width - 4)
            formatter.add_arguments(actions._group_actions)
            sections.append((title, textwrap.dedent(formatter.format_help()).strip("\n")))
        sections += [
            ("EXAMPLES", self._own_examples(width - 4)),
            ("EXIT CODES", "\n".join(f"{code:<4} {what}" for code, what in sorted(self.exit_codes.items()))),
        ]
        return "\n".join(f"{title}\n{textwrap.indent(text, '    ')}\n" for title, text in sections if text)

    def _own_examples(self, width: int) -> str:
        pairs = [line.partition("  # ") for line in self.examples.strip().splitlines()]
        own = [(command, what) for command, _, what in pairs if f"{command} ".startswith(f"{self.prog} ")]
        column = max((len(command) for command, _ in own), default=0)
        beside = all(column + 2 + len(what) <= width for _, what in own)
        return "\n".join(
            f"{command:<{column}}  {what}" if beside else f"{command}\n    {what}" for command, what in own
        )


def _paragraphs(text: str, width: int) -> str:
    return "\n".join(textwrap.fill(line, width, break_on_hyphens=False) for line in text.splitlines())
