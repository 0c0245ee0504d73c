"""The emulator's commands: one module each, with `configure(parser)` and `main(args) -> int`."""
