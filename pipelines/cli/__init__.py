"""The command `hmar`: every command is a module, and turns options into calls of other packages."""


def main() -> None:
    """Runs the command that the arguments name."""
    # The first import of a command takes a moment, and a library may only want this package's name.
    from pipelines.cli.app import main as run

    run()
