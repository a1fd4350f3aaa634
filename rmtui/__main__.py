"""`python -m rmtui` is the same program as `rmtui`."""

import sys

from rmtui.entry import main

if __name__ == "__main__":
    sys.exit(main())
