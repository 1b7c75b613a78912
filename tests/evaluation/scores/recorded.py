"""What other packages say of what `benchmarks/made_inputs.py` makes: `benchmarks.record_scores`."""

import json
import pathlib

RECORDED = json.loads((pathlib.Path(__file__).parent / "recorded.json").read_text())
