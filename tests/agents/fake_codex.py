"""A fake Codex: speaks its app server's JSON-RPC and ``exec --json``, and misbehaves where told.

Threads run at once. Prompts are words: ``DIE``, ``HANG``, ``SLOW``, ``ASK``, ``PWD``,
``FAIL name``, ``WAIT n`` (until n turns are at work); others are echoed.
``--old`` makes it one without an app server.
"""

import asyncio
import json
import os
import signal
import sys

ARGS = sys.argv[1:]


def out(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Fake:
    def __init__(self):
        self.threads = {}
        self.turns = {}
        self.answers = {}
        self.number = 0
        self.at_work = self.most = 0
        self.changed = asyncio.Condition()

    def tell(self, method, **params):
        out(method=method, params=params)

    async def serve(self):
        reader = asyncio.StreamReader(limit=2**24)
        protocol = asyncio.StreamReaderProtocol(reader)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        while line := await reader.readline():
            message = json.loads(line)
            number, params = message.get("id"), message.get("params", {})
            match message.get("method"):
                case None:
                    self.answers.pop(number).set_result(message["result"])
                case "initialize":
                    out(id=number, result={"userAgent": "fake"})
                case "thread/start":
                    name = f"thread-{len(self.threads) + 1}"
                    self.threads[name] = params
                    thread = {"id": name}
                    out(id=number, result={"thread": thread, "model": "m", "modelProvider": "p"})
                case "turn/start":
                    name = params["threadId"]
                    out(id=number, result={"turn": {"id": "turn-" + name}})
                    text = params["input"][0]["text"]
                    self.turns[name] = asyncio.create_task(self.turn(name, text))
                case "turn/interrupt":
                    self.turns[params["threadId"]].cancel()
                    out(id=number, result={})
                case "initialized":
                    pass
                case _:
                    out(id=number, result={})

    async def turn(self, name, text):
        async with self.changed:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
            self.changed.notify_all()
        status, error = "completed", None
        try:
            answer = await self.work(name, text)
            item = {"type": "agentMessage", "id": "i", "text": answer}
            self.tell("item/agentMessage/delta", threadId=name, delta=answer)
            self.tell("item/completed", threadId=name, item=item)
            total = {"inputTokens": 100, "cachedInputTokens": 20, "outputTokens": 5}
            self.tell("thread/tokenUsage/updated", threadId=name, tokenUsage={"total": total})
        except asyncio.CancelledError:
            status = "interrupted"
        except LookupError as failed:
            status, error = "failed", {"message": "no", "codexErrorInfo": failed.args[0]}
        self.at_work -= 1
        self.tell("turn/completed", threadId=name, turn={"status": status, "error": error})

    async def work(self, name, text):
        word, _, rest = text.partition(" ")
        match word:
            case "DIE":
                os.kill(os.getpid(), signal.SIGKILL)
            case "HANG":
                signal.pause()
            case "SLOW":
                self.tell("item/agentMessage/delta", threadId=name, delta="slowly")
                await asyncio.Event().wait()
            case "WAIT":
                async with self.changed:
                    await self.changed.wait_for(lambda: self.most >= int(rest))
            case "FAIL":
                raise LookupError(rest)
            case "PWD":
                return self.threads[name]["cwd"]
            case "TOLD":
                return json.dumps(self.threads[name])
            case "ASK" | "PATCH":
                return await self.ask(name, word, rest)
        return text

    async def ask(self, name, word, rest):
        self.number += 1
        answer = self.answers[self.number] = asyncio.get_running_loop().create_future()
        if word == "ASK":
            method, more = "item/commandExecution/requestApproval", {"command": rest}
        else:
            changes = [{"path": rest, "kind": {"type": "add"}, "diff": "+new"}]
            item = {"type": "fileChange", "id": "f", "changes": changes}
            self.tell("item/started", threadId=name, item=item)
            method, more = "item/fileChange/requestApproval", {"itemId": "f"}
        out(id=self.number, method=method, params={"threadId": name, **more})
        return json.dumps((await answer)["decision"])


def once():
    text = sys.stdin.read()
    out(type="thread.started", thread_id="t")
    if text.startswith("DENIED "):
        changes = [{"path": text.removeprefix("DENIED "), "kind": "add"}]
        item = {"type": "file_change", "id": "f", "changes": changes, "status": "failed"}
        out(type="item.completed", item=item)
    out(type="item.completed", item={"type": "agent_message", "text": text})
    used = {"input_tokens": 100, "cached_input_tokens": 20, "output_tokens": 5}
    out(type="turn.completed", usage=used)


if __name__ == "__main__":
    if "exec" in ARGS:
        once()
    elif "--old" in ARGS:
        sys.exit("error: unrecognized subcommand 'app-server'")
    else:
        asyncio.run(Fake().serve())
