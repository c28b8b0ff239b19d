"""Commented YAML to start a task or a model from."""

from __future__ import annotations

import os.path
import re
from pathlib import Path
from typing import Literal

from vlmbench.spec._base import NAME
from vlmbench.spec._schemas import schema_path
from vlmbench.types import Problem, VlmbenchError

_TASK = """\
# A task: where its documents come from, how they are asked, how they are read.
# Keys at the top are lm-evaluation-harness's own, so `lm_eval` loads this file too; what only
# vlmbench knows is under `metadata: {vlmbench: ...}`.
# Check it with `vlmbench validate FILE`, see a document with `vlmbench show @NAME@`.
task: @NAME@
# Other names to select it by.
tag: [mine]

# A hub id, or `json`, `csv`, `parquet` or `imagefolder` with its files. Paths start at this
# file's folder. One JSON object a line, for example:
# {"id": "0", "image": "images/0.png", "question": "Red?", "choices": ["cup", "hat"], "answer": 1}
dataset_path: json
dataset_kwargs:
  data_files:
    test: @NAME@.jsonl
test_split: test

# `multiple_choice` compares the likelihood of the choices; `generate_until` reads generated
# text, which `generation_kwargs: {until: ["\\n"], max_gen_toks: 16}` keeps short.
output_type: multiple_choice
# Jinja over the columns of the data. `<image>` marks where an image goes, once per column of
# doc_to_image.
doc_to_text: |-
  <image>
  {{ question }}
  {% for choice in choices %}({{ "ABCDEFGH"[loop.index0] }}) {{ choice }}
  {% endfor %}Answer with the letter.
doc_to_image: [image]
# A list, a column, or Jinja that renders a Python list.
doc_to_choice: "{{ ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H'][:choices | length] }}"
# The index of the right choice, from 0.
doc_to_target: answer

metadata:
  # Raise it when prompts, data or scoring change.
  version: 1.0
  vlmbench:
    # What is measured; tables group by it. By default the task's name.
    ability: my_ability
    # Column with a unique id of each document; row numbers if absent.
    id_column: id
    # To ask the model's own vision encoder too, say where in the images the choices lie and by
    # which rule the encoder decides between them (docs: the probes):
    # regions:
    #   reference: {kind: point, image: 0, column: reference_xy}
    #   choices: {kind: point, image: 0, column: choices_xy}
    # probe: {kind: keypoint}
    # The model must see these points too. `{}` draws them on its images, a red ring and a label
    # each (REF, and the choices), and the encoder gets the images without them. `drawn`: they are
    # in the images already. `text`: the prompt gives their coordinates.
    # markers: {}
    # For `markers: drawn`, the same images without them, if there are such:
    # encoder_images: [unmarked_image]
    source:
      title: Where the data comes from
      # url: https://...
      # license: CC-BY-4.0

# A blind variant is a file of its own with four lines:
#   include: @NAME@.yaml
#   task: @NAME@_blind
#   tag: [blind]
#   metadata: {vlmbench: {condition: {image: blank}}}
"""

_MODEL = """\
# A model: which checkpoint, how it is prompted, and the encoder it consumes.
# Check it with `vlmbench validate FILE`.
model: @NAME@
# Other names to select it by.
tag: [mine]
# How it is run: `vlmbench ls backends`.
backend: hf
# Hub id, or a folder (relative ones start at this file's folder).
checkpoint: owner/name
# A commit makes the result reproducible; a branch does not.
# revision: 0123456789abcdef0123456789abcdef01234567
# auto: bfloat16 on cuda and xpu, float16 on mps, float32 on cpu.
dtype: auto

# needs: {memory_gb: 16}

prompt:
  # auto: the processor's chat template, if it has one. none: the bare prompt, or `wrapper`.
  chat_template: auto
  # wrapper: "USER: {{ prompt }} ASSISTANT:"
  # For a model that thinks before it answers: room for its thoughts, in tokens.
  # thinking: 2048

image:
  # native: one `<image>` each. join: side by side, for models that take only one image.
  several: native
  # Scale to fit a square of this side and pad, instead of the processor's own resizing.
  # letterbox: 336

# The encoder-probe twin: what the model's own encoder knows. Without it the model has no
# encoder readout, and so no gap.
twin:
  # Hidden state of the tower that the language model really consumes: -1 is the last, -2 the
  # one before (LLaVA's choice). The model's config says which (`vision_feature_layer`).
  layer: -2
  # cls, or mean for towers without a CLS token.
  pooled: cls
  # identical: read from the VLM's own checkpoint. For a standalone encoder give `checkpoint:`
  # and say whether its weights are identical, were finetuned, or only share the lineage.
  relation: identical

# source: https://...
# license: Apache-2.0
"""


def starter(kind: Literal["task", "model"], name: str, folder: Path) -> str:
    """Return a commented YAML that is valid as it is, to be written into `folder`.

    Raises:
        VlmbenchError: The name cannot be a spec's name.
    """
    if not re.fullmatch(NAME, name):
        message = f"`{name}` cannot be the name of a {kind}"
        remedy = "Use letters, digits, `_`, `.` and `-`, starting with a letter or digit."
        raise VlmbenchError(Problem(message=message, remedy=remedy))
    text = {"task": _TASK, "model": _MODEL}[kind].replace("@NAME@", name)
    where = Path(os.path.relpath(schema_path(kind), folder)).as_posix()
    return f"# yaml-language-server: $schema={where}\n{text}"
