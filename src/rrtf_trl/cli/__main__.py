"""`python -m rrtf_trl.cli`, for launchers that start a module."""

import sys

from . import main

sys.exit(main())
