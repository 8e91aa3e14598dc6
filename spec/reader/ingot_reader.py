"""An independent reader of the Ingot container, written from FORMAT.md and ENCODINGS.md alone.

    model = open_file("model.ingot")
    model.tensors["name"].shape, model.decode("name"), model.metadata, model.attachments["config.json"]
    validate("model.ingot")         # a list of Violation(rule, place, message)

As a program: list FILE | validate FILE... [--json] [--structure-only] | decode FILE TENSOR OUT.npy | digest FILE
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from findings import IngotError, Violation                                  # noqa: E402
from model import Model, open_file                                          # noqa: E402
from validate import examine, validate                                      # noqa: E402

__all__ = ["IngotError", "Model", "Violation", "examine", "open_file", "validate"]

if __name__ == "__main__":
    from command import main
    sys.exit(main(sys.argv[1:]))
