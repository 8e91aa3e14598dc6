"""The command line of the reader."""

import argparse
import json
import sys

import numpy as np

from findings import IngotError, quoted
from model import open_file
from validate import examine


def _list(args):
    with open_file(args.file) as model:
        for info in model.tensors.values():
            kinds = ", ".join(dict.fromkeys(part.kind for part in info.parts))
            parts = f", {len(info.parts)} parts along {info.axis}" if len(info.parts) > 1 else ""
            print(f"tensor {quoted(info.name)} {info.dtype} {list(info.shape)} {kinds}{parts}")
        for key, value in model.metadata.items():
            print(f"metadata {quoted(key)} = {_shown(value)}")
        for name in model.attachments:
            print(f"attachment {quoted(name)}")
        for shard in model.shards:
            print(f"shard {quoted(shard.name)} {shard.content_digest}")
        for source in model.sources:
            print(f"source {quoted(source.name)} {source.size} {source.hash}")
    return 0


def _shown(value):
    """A metadata value on one line, escaped; long ones are cut."""
    if isinstance(value, list):
        text = _shown_list(value)
    else:
        text = quoted(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _shown_list(values):
    return "[" + ", ".join(_shown(v) for v in values[:100]) + (", ...]" if len(values) > 100 else "]")


def _validate(args):
    status, report = 0, []
    for path in args.files:
        try:
            found = examine(path, args.structure_only)
            violations, warnings = found.violations, found.warnings
        except (OSError, IngotError) as error:
            violations, warnings = [], []
            report.append({"file": path, "valid": False, "error": str(error)})
            print(f"{quoted(path)}: {error}", file=sys.stderr)
            status = 1
            continue
        status = 1 if violations else status
        report.append({"file": path, "valid": not violations, "violations": [v._asdict() for v in violations],
                       "warnings": warnings})
        if not args.json:
            _print_findings(path, violations, warnings)
    if args.json:
        print(json.dumps(report, indent=1))
    return status


def _print_findings(path, violations, warnings):
    print(f"{quoted(path)}: {'not valid' if violations else 'valid'}")
    for violation in violations:
        print(f"  {violation}")
    for warning in warnings:
        print(f"  warning: {warning}")


def _decode(args):
    with open_file(args.file) as model:
        with open(args.out, "wb") as out:
            np.save(out, model.decode(args.tensor))
    return 0


def _digest(args):
    with open_file(args.file) as model:
        print(model.content_digest())
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="ingot_reader", description="Reads Ingot files.")
    commands = parser.add_subparsers(required=True)
    for name, action, arguments in (("list", _list, ("file",)), ("decode", _decode, ("file", "tensor", "out")),
                                    ("digest", _digest, ("file",))):
        command = commands.add_parser(name)
        command.set_defaults(action=action)
        for argument in arguments:
            command.add_argument(argument)
    command = commands.add_parser("validate")
    command.set_defaults(action=_validate)
    command.add_argument("files", nargs="+")
    command.add_argument("--json", action="store_true")
    command.add_argument("--structure-only", action="store_true")
    return parser


def main(arguments):
    args = _parser().parse_args(arguments)
    try:
        return args.action(args)
    except (OSError, IngotError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
