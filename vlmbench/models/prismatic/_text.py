"""Prompt and tokens, so that the converted model reads what prismatic-vlms feeds its own."""

from __future__ import annotations

from typing import Any

from vlmbench.models._checkpoint import remedy_for
from vlmbench.types import Problem, VlmbenchError

IMAGE, PAD = "<image>", "<PAD>"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions."
)
# vicuna_v15_prompter.py and vlms/prismatic.py: every image comes right after the start token,
# wherever the question put it; questions are stripped.
_TEMPLATE = """\
{%- macro said(content) -%}
  {%- if content is string -%}{{ content.replace('<image>', '') }}
  {%- else -%}
    {%- for part in content if part['type'] == 'text' -%}{{ part['text'] }}{%- endfor -%}
  {%- endif -%}
{%- endmacro -%}
{%- macro shown(content) -%}
  {%- if content is string -%}{{ '<image>' * (content.split('<image>') | length - 1) }}
  {%- else -%}
    {%- for part in content if part['type'] == 'image' -%}<image>{%- endfor -%}
  {%- endif -%}
{%- endmacro -%}
{%- set first = namespace(images='', system=SYSTEM) -%}
{%- for message in messages -%}
  {%- set first.images = first.images + shown(message['content']) -%}
  {%- if message['role'] == 'system' -%}
    {%- set first.system = said(message['content']) | trim -%}
  {%- endif -%}
{%- endfor -%}
{%- if first.images -%}{{ first.images + LEAD }}{%- endif -%}
{{ first.system + ' ' }}
{%- for message in messages -%}
  {%- set text = said(message['content']) | trim -%}
  {%- if message['role'] == 'user' -%}{{ 'USER: ' + text + ' ASSISTANT:' }}
  {%- elif message['role'] == 'assistant' -%}{{ ' ' + (text or ' ') + '</s>' }}
  {%- endif -%}
{%- endfor -%}
"""


def load_tokenizer(place: str, max_length: int) -> Any:
    """Return Vicuna's tokenizer with the padding token prismatic-vlms adds, and `<image>`.

    `<PAD>` gets the first free id, as there; `<image>` the next. Both lie in the rows that the
    published embedding was padded with, and `<image>` is replaced by patches before it is read.

    Args:
        place: Folder or hub id of Vicuna v1.5.
        max_length: Most tokens of a sequence.

    Raises:
        VlmbenchError: It cannot be loaded, or does not put the start token first.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise VlmbenchError(
            Problem(
                field="--llm-tokenizer",
                message=f"cannot load a tokenizer from {place!r}: {error}",
                remedy=remedy_for(
                    error,
                    "hf download lmsys/vicuna-7b-v1.5 --include 'tokenizer*' '*.json' "
                    "--local-dir vicuna, then add `--llm-tokenizer vicuna`",
                ),
            )
        ) from error
    tokenizer.model_max_length = max_length
    tokenizer.add_special_tokens({"pad_token": PAD})
    tokenizer.add_special_tokens({"extra_special_tokens": [IMAGE]})
    first = tokenizer("Testing 123").input_ids[0]
    if tokenizer.bos_token_id is None or first != tokenizer.bos_token_id:
        raise VlmbenchError(
            Problem(
                field="--llm-tokenizer",
                message=f"{place!r} does not put a start token before a text",
                remedy="Give the tokenizer of Vicuna v1.5.",
            )
        )
    return tokenizer


def rows(tokenizer: Any) -> int:
    """Return how many rows prismatic-vlms pads the embedding to: a multiple of 64 (32064)."""
    used: int = tokenizer.convert_tokens_to_ids(PAD) + 1
    return -(-used // 64) * 64


def chat_template(tokenizer: Any) -> str:
    """Return Vicuna's prompt as a chat template.

    Tokenizers differ in what they make of the first word after a special token, so what comes
    between image and prompt is either nothing or a space, whichever gives the published tokens:
    start, patches, and the prompt as if there were no image before it.

    Raises:
        VlmbenchError: Neither does.
    """
    prompt = f"{SYSTEM} USER: Which? ASSISTANT:"
    plain = tokenizer(prompt).input_ids
    image = tokenizer.convert_tokens_to_ids(IMAGE)
    for lead in ("", " "):
        if tokenizer(IMAGE * 2 + lead + prompt).input_ids == [plain[0], image, image, *plain[1:]]:
            return _TEMPLATE.replace("SYSTEM", _quoted(SYSTEM)).replace("LEAD", _quoted(lead))
    raise VlmbenchError(
        Problem(
            field="--llm-tokenizer",
            message="tokenises a prompt after an image differently from the same prompt alone",
            remedy="Give the tokenizer of Vicuna v1.5.",
        )
    )


def _quoted(text: str) -> str:
    """Return a Jinja string literal."""
    return '"' + text + '"'
