"""lm-eval on our backends: a model that its evaluator takes, and a run of its tasks.

Importing this room registers the model with lm-eval under the name `vlmbench`.
"""

from vlmbench.harness._evaluate import Evaluation, evaluate, tables
from vlmbench.harness._model import VlmbenchLM
from vlmbench.harness._tasks import Selected, select

__all__ = ["Evaluation", "Selected", "VlmbenchLM", "evaluate", "select", "tables"]
