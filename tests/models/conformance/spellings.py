"""How the shipped families write an answer, on small tokenizers of the same kinds.

Vocabularies of the real sizes cannot be had here, so each tokenizer holds the few words that tests
write, spelled as the kind spells them; `tokenizers` and transformers do the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import transformers as tf
from tokenizers import normalizers, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel

Kind = Literal["spm", "spm legacy", "gemma", "gpt2", "gpt4"]

SPECIAL = ("<pad>", "<image>")
WORDS = ("USER:", "Which?", "ASSISTANT:", "Assistant:", "assistant", "A", "B", "yes", "[/INST]")


def tokenizer(kind: Kind, *, special: Sequence[str] = ()) -> Any:
    """Return a tokenizer of a kind.

    Args:
        kind: `spm`: SentencePiece as Llama and Mistral have it, a space before the first word, and
            `spm legacy`, a space after each special token too; `gemma`: SentencePiece without
            such a space; `gpt2` and `gpt4`: byte-level BPE that keeps signs and letters apart, or
            joins one sign with the letters after it.
        special: Tokens that a chat template writes.
    """
    make = _FROM[kind]
    made = make()
    made.add_special_tokens(
        {"pad_token": "<pad>", "extra_special_tokens": [*SPECIAL[1:], *special]}
    )
    made.image_token = "<image>"
    return made


def _spm(*, legacy: bool) -> Any:
    made = tf.LlamaTokenizer(*_vocabulary([f"▁{word}" for word in (*WORDS, "(", ")")], _SPM_START))
    if legacy:
        made._tokenizer.pre_tokenizer = None
        made._tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    return made


def _gemma() -> Any:
    words = [form for word in (*WORDS, "(", ")") for form in (f"▁{word}", word)]
    made = tf.GemmaTokenizer(*_vocabulary(words, ["<pad>", "<eos>", "<bos>", "<unk>", *_BYTES]))
    made._tokenizer.normalizer = normalizers.Replace(" ", "▁")
    made._tokenizer.pre_tokenizer = pre_tokenizers.Split(
        pattern=" ", behavior="merged_with_previous"
    )
    return made


def _byte_level(kind: type) -> Any:
    start = ["<|endoftext|>", *sorted(ByteLevel.alphabet())]
    words = [form for word in (*WORDS, "(", "(A", "(B") for form in (f"Ġ{word}", word)]
    return kind(*_vocabulary(words, start))


def _vocabulary(
    words: Sequence[str], start: Sequence[str]
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return tokens and merges that build every word letter by letter."""
    tokens, merges = list(start), []
    for word in words:
        piece = word[0]
        tokens.append(piece)
        for letter in word[1:]:
            tokens += [letter, piece + letter]
            merges.append((piece, letter))
            piece += letter
    ids = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return ids, list(dict.fromkeys(merges))


_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_SPM_START = ["<unk>", "<s>", "</s>", *_BYTES, "▁"]
_FROM: dict[Kind, Callable[[], Any]] = {
    "spm": lambda: _spm(legacy=False),
    "spm legacy": lambda: _spm(legacy=True),
    "gemma": _gemma,
    "gpt2": lambda: _byte_level(tf.GPT2Tokenizer),
    "gpt4": lambda: _byte_level(tf.Qwen2Tokenizer),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """How a family's chat template ends a prompt and begins an answer.

    Attributes:
        kind: Its tokenizer.
        ends: End of the prompt.
        heads: What stands in its place where an assistant's turn is written whole.
        string: Whether a message's content is one string.
        special: Tokens in these.
    """

    kind: Kind
    ends: str
    heads: str
    string: bool = False
    special: tuple[str, ...] = ()

    @property
    def template(self) -> str:
        """A chat template that writes just this."""
        text = "{{ m['content'] }}" if self.string else (
            "{% for part in m['content'] %}"
            "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
        )  # fmt: skip
        return (
            "{% for m in messages %}{% if m['role'] == 'assistant' %}"
            f"{{{{ {self.heads!r} }}}}{text}{{{{ '</s>' }}}}"
            f"{{% else %}}USER: {text} {{% endif %}}{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{{{{ {self.ends!r} }}}}{{% endif %}}"
        )


def processor(turn: Turn) -> Any:
    """Return a processor with a family's template and kind of tokenizer."""
    return tf.LlavaProcessor(
        image_processor=tf.CLIPImageProcessor(size={"shortest_edge": 8}, crop_size=8),
        tokenizer=tokenizer(turn.kind, special=turn.special),
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=turn.template,
    )


_CHATML = ("<|im_start|>", "<|im_end|>")
_QWEN = Turn(
    kind="gpt4", ends="<|im_start|>assistant\n", heads="<|im_start|>assistant\n", special=_CHATML
)
_LLAMA_3 = Turn(
    kind="gpt4",
    ends="<|start_header_id|>assistant<|end_header_id|>\n\n",
    heads="<|start_header_id|>assistant<|end_header_id|>\n\n",
    special=("<|start_header_id|>", "<|end_header_id|>"),
)
_VICUNA = Turn(kind="spm legacy", ends="ASSISTANT:", heads="ASSISTANT: ")

# By the name of the shipped model; PaliGemma has no chat template, and the GLM thinks first.
TURNS: dict[str, Turn] = {
    "aya-vision-8b": Turn(
        kind="gpt2",
        ends="<|CHATBOT_TOKEN|><|START_RESPONSE|>",
        heads="<|CHATBOT_TOKEN|><|START_RESPONSE|>",
        special=("<|CHATBOT_TOKEN|>", "<|START_RESPONSE|>"),
    ),
    "fastvlm-7b": _QWEN,
    "gemma-3-4b": Turn(
        kind="gemma",
        ends="<start_of_turn>model\n",
        heads="<start_of_turn>model\n",
        special=("<start_of_turn>",),
    ),
    "granite-vision-3.3-2b": Turn(
        kind="gpt2", ends="<|assistant|>\n", heads="<|assistant|>\n", special=("<|assistant|>",)
    ),
    "idefics3-8b": Turn(kind="gpt4", ends="\nAssistant:", heads="\nAssistant: "),
    "internvl3-8b": _QWEN,
    "llama-3.2-11b-vision": _LLAMA_3,
    "llama-4-scout": Turn(
        kind="gpt4",
        ends="<|header_start|>assistant<|header_end|>\n\n",
        heads="<|header_start|>assistant<|header_end|>\n\n",
        special=("<|header_start|>", "<|header_end|>"),
    ),
    "llava-1.5-7b": _VICUNA,
    "llava-1.5-13b": _VICUNA,
    "llava-next-mistral-7b": Turn(kind="spm legacy", ends="[/INST]", heads="[/INST] "),
    "llava-onevision-qwen2-7b": Turn(
        kind="gpt4",
        ends="<|im_start|>assistant\n",
        heads="<|im_start|>assistant \n",
        special=_CHATML,
    ),
    "mistral-small-3.1-24b": Turn(
        kind="gpt4", ends="[/INST]", heads="[/INST]", special=("[/INST]",)
    ),
    "perception-lm-8b": _LLAMA_3,
    "phi-4-multimodal": Turn(
        kind="gpt4",
        ends="<|assistant|>",
        heads="<|assistant|>",
        string=True,
        special=("<|assistant|>",),
    ),
    "qwen2-vl-7b": _QWEN,
    "qwen2.5-vl-7b": _QWEN,
    "qwen3-vl-8b": _QWEN,
    "smolvlm2-2.2b": Turn(kind="gpt2", ends="\nAssistant:", heads="\nAssistant: "),
    "clip-224px+7b": _VICUNA,
    "dinov2-224px+7b": _VICUNA,
    "in1k-224px+7b": _VICUNA,
    "siglip-224px+7b": _VICUNA,
}
