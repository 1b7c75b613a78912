"""Our text-to-image model as T5X's programs take one: `t5x/train.py`, `eval.py` and `infer.py`."""
