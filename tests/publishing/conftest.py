"""Makes the helpers of this folder importable, which importlib mode leaves to us."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
