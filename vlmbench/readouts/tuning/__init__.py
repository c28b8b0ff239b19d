"""Training a part of a model, or a prefix of its prompts, on a task, and reading the result."""

from vlmbench.readouts.tuning._examples import Examples
from vlmbench.readouts.tuning._learners import Learner, learning
from vlmbench.readouts.tuning._train import train
from vlmbench.readouts.tuning._tuned import tuned

__all__ = ["Examples", "Learner", "learning", "train", "tuned"]
