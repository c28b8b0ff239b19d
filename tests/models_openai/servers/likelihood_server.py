"""Chat completions with `top_logprobs`: `likelihood_server.py PORT CHECKPOINT`.

A real server in a process of its own, around a transformers model, for the ordinary tests:
`transformers serve` 5.23 ignores `logprobs`, llama.cpp wants GGUF, and vLLM, whose own server
`make vllm` asks, needs an environment of its own and a quarter of a minute to start. It
speaks the protocol from OpenAI's description and shares no code with the backend under test; the
likelihoods are the raw logits of `model.generate`'s first step.
"""

from __future__ import annotations

import base64
import io
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

port, checkpoint = sys.argv[1:]
torch.set_num_threads(1)
processor = AutoProcessor.from_pretrained(checkpoint)
model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32).eval()
lock = threading.Lock()


def complete(request: dict) -> dict:
    images = []
    messages = []
    for message in request["messages"]:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else []
        for part in content if isinstance(content, list) else []:
            if part["type"] == "text":
                parts.append(part)
                continue
            data = part["image_url"]["url"].partition("base64,")[2]
            images.append(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
            parts.append({"type": "image"})
        messages.append({"role": message["role"], "content": parts})
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    inputs = processor(text=[text], images=images or None, return_tensors="pt")
    length = inputs["input_ids"].shape[1]
    with torch.inference_mode():
        output = model.generate(
            **inputs,
            max_new_tokens=request["max_completion_tokens"],
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=processor.tokenizer.pad_token_id,
        )
    first = output.logits[0][0].float().log_softmax(-1)
    ids = output.sequences[0, length:].tolist()
    text = processor.tokenizer.decode(ids, skip_special_tokens=True)
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": text},
    }
    if request.get("logprobs"):
        top = first.topk(min(request["top_logprobs"], len(first)))
        listed = [
            {"token": processor.tokenizer.decode([index]), "logprob": value}
            for index, value in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ]
        choice["logprobs"] = {"content": [{**listed[0], "top_logprobs": listed}]}
    usage = {"prompt_tokens": length, "completion_tokens": len(ids)}
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with lock:
            answer = complete(json.loads(body))
        self.reply(answer)

    def reply(self, answer: dict) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
