"""Tasks that ship with lm-eval in `vlmbench run`: their documents, their scoring, in our grid."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from lm_eval import simple_evaluate
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from tests.harness.conftest import mmmu_row, png, noise
