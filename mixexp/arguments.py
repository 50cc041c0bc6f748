"""Arguments of the commands that are not Hydra's: refused as everything else is, in one message with the nearest choice."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from mixexp.errors import UserError, closest


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are UserErrors; prog: "mixexp COMMAND"."""

    def error(self, message: str) -> NoReturn:
        match = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        near = closest(match[1], re.findall(r"[^\s,']+", match[2])) if match else ""
        raise UserError(f"{self.prog.removeprefix('mixexp ')}: {message}; {self.prog} --help says more.{near}")
