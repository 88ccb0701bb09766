"""A served replica without a model: vLLM's routes, as far as runs use them, over a fake engine."""

import asyncio
import json
from dataclasses import asdict

from aiohttp import web

from data.types import Prompt
from rollout.engine import Sampling
from rollout.vllm.settings import Settings
from tests.fakes import WORDS, FakeEngine

SETTINGS = Settings(
    vllm="0.32.0",
    plugin="ours",
    model="tiny",
    dtype="float32",
    logprobs_mode="processed_logprobs",
    max_model_tokens=64,
    backend="laconic_shared_memory",
)
LOT = 3
"""Tokens in a line of the stream."""


class ReplicaServer:
    """Answers on loopback. `lots` tells how many lots an answer gets before it breaks off, `mute`
    answers start and never go on, a `full` one refuses, and `error` is the answer
    to all calls but requests."""

    def __init__(self, settings=SETTINGS, token="", port=0):
        self.settings = settings
        self.token = token
        self.port = port
        self.engine = FakeEngine()
        self.healthy = True
        self.mute = False
        self.full = False
        self.lots = None
        self.error = ""
        self.calls = []
        self.asked = []
        self.cancelled = []
        self.version = "0"
        self.url = ""
        self._runner = None

    async def start(self):
        @web.middleware
        async def guarded(request, handler):
            if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
                return web.json_response({"error": "Unauthorized"}, status=401)
            return await handler(request)

        app = web.Application(middlewares=[guarded])
        app.router.add_get("/health", self.health)
        app.router.add_post("/inference/v1/generate", self.generate)
        app.router.add_post("/collective_rpc", self.workers)
        app.router.add_post("/{call}", self.other)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self):
        await self._runner.cleanup()

    async def health(self, request):
        return web.Response(status=200 if self.healthy else 503)

    async def workers(self, request):
        body = await request.json()
        self.asked.append((body["method"], body["kwargs"]))
        answers = {
            "laconic_settings": asdict(self.settings),
            "laconic_fingerprints": {"w": "AACAPw=="},
            "laconic_draft_acceptance": {
                "verifications": 2, "drafted_at": [2, 1], "accepted_at": [1, 1],
            },
            "laconic_new_weights": None,
        }  # fmt: skip
        return web.json_response({"results": [answers[body["method"]]]})

    async def other(self, request):
        call, body = request.match_info["call"], await request.json()
        self.calls.append((call, dict(request.query), body))
        if self.error:
            return web.json_response({"error": self.error}, status=500)
        if call in ("update_weight_version", "finish_weight_update"):
            version = body.get("new_version") or body["weight_version"]
            if version is not None:  # The policy's weights, whose drafter's are still to come.
                self.version = version
                self.engine.weight_version = int(version)
        return web.json_response({"success": True})

    async def generate(self, request):
        if self.full:
            return web.json_response({"error": "the queue is full"}, status=503)
        body = await request.json()
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            await self._stream(body, response)
        except asyncio.CancelledError:
            self.cancelled.append(body["request_id"])
            raise
        return response

    async def _stream(self, body, response):
        wanted = body["sampling_params"]
        prompt = Prompt(
            id=str(body["token_ids"]), messages=(), token_ids=body["token_ids"], answer=""
        )
        completion = await self.engine.sample(
            prompt,
            Sampling(
                id=body["request_id"],
                limit=wanted["max_tokens"],
                temperature=wanted["temperature"],
                top_p=wanted["top_p"],
                seed=wanted["seed"],
            ),
        )
        if self.mute:
            await asyncio.sleep(3600)
        starts = range(0, len(completion.token_ids), LOT)
        for number, start in enumerate(starts):
            if number == self.lots:
                response.force_close()
                return
            last = start + LOT >= len(completion.token_ids)
            event = lot(completion, start, last)
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")


def lot(completion, start, last):
    tokens = completion.token_ids[start : start + LOT]
    logprobs = completion.logprobs[start : start + LOT]
    spans = [
        {"version": str(span.weight_version), "start": span.start, "end": span.stop}
        for span in completion.spans
    ]
    choice = {
        "index": 0,
        "token_ids": tokens.tolist(),
        "text": "".join(WORDS[token] for token in tokens),
        "logprobs": {"content": [{"token": "x", "logprob": float(each)} for each in logprobs]},
        "finish_reason": {"stop": "stop", "limit": "length"}[completion.finish] if last else None,
        "weight_versions": spans if last else None,
    }
    return {"request_id": completion.id, "choices": [choice]}
