"""How hard the property tests try: quickly as a rule, for long when asked to.

HYPOTHESIS_PROFILE=long pytest --timeout=0 tests/property
"""

import os

from hypothesis import settings

# Where a run has to be repeatable, it always tries the same examples.
settings.register_profile(
    "quick", deadline=None, max_examples=200, derandomize=os.environ.get("CI") == "true"
)
settings.register_profile("long", deadline=None, max_examples=5000, stateful_step_count=150)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
