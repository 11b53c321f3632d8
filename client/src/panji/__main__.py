"""``python -m panji`` is the command line ``panji``."""

from panji.cli import main

if __name__ == "__main__":
    main()
