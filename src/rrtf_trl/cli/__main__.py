"""`python -m rrtf_trl.cli`, for launchers that run modules."""

import sys

from . import main

sys.exit(main())
