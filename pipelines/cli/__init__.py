"""The command `hmar`: one module per command, which turns options into calls of other packages."""


def main() -> None:
    """Runs the command that the arguments name."""
    # Imported here, because it takes a moment and not every import of this package needs it.
    from pipelines.cli.app import main as run

    run()
